"""Taking the role of the directory's master for a server that does not run, with entries that an operator put there.

It is yielded to that server at once, which takes it up when it starts. All other replicas begin anew.
"""

from __future__ import annotations

import asyncio

import msgspec

from nightmail.admin.mastering import role_log
from nightmail.config.settings import Config
from nightmail.directory.held import Held
from nightmail.directory.role import Role, Sighting, epoch_in, is_at_rest
from nightmail.errors import ConfigInvalid, Fenced
from nightmail.journal.records import Adopted
from nightmail.world import SystemRandomness

_LOOK_S = 0.1
_NONCE_BYTES = 16
_FURTHER_S = 1.0


def refuse_where_there_is_a_role(config: Config) -> None:
    """See that nobody was ever the master. Blocks. Raises: ConfigInvalid: somebody was."""
    if (seen := asyncio.run(_look(config))) is not None:
        wrong = f"the directory has a master, {seen.fault or seen.role.master}"
        raise ConfigInvalid(config.store.url, wrong, "this server's replica begins with what that one has, by itself")


def see_that_nobody_leads(config: Config) -> None:
    """Wait until the role's log has stood still for its last promise. Blocks. Raises: ConfigInvalid: it moves."""
    asyncio.run(_stand_still(config))


def claim(config: Config, held: Held, before: str) -> None:
    """Have the role for this server, in a new epoch, with the entries that it has now. Blocks.

    `before` is the epoch that it held with the entries it had until then.

    Raises:
        ConfigInvalid: another server has it, and goes on.
        DirectoryUnavailable: the store is out of reach.
    """
    asyncio.run(_claim(config, held, before))


async def _look(config: Config) -> Sighting | None:
    async with role_log(config) as roles:
        return await roles.look(None)


async def _stand_still(config: Config) -> Sighting | None:
    """The last slot, once nobody can hold the role by it any more; None where there is none."""
    async with role_log(config) as roles:
        first = seen = await roles.look(None)
        while seen is not None and first is not None and not _is_free(seen, config.store.lease_s):
            await asyncio.sleep(_LOOK_S)
            seen = await roles.look(seen)
            if seen is not None and seen.slot != first.slot:
                wrong = f"{seen.role.master or 'another server'} is the directory's master"
                raise ConfigInvalid(config.store.url, wrong, "stop the servers that have replicas first")
        return seen


def _is_free(seen: Sighting, lease_s: float) -> bool:
    if seen.role.is_yielded and not seen.unread:
        return True
    return is_at_rest(msgspec.structs.replace(seen, since=seen.since + _FURTHER_S), lease_s)


async def _claim(config: Config, held: Held, before: str) -> None:
    seen = await _stand_still(config)
    randomness = SystemRandomness()
    name, epoch = config.server.name, 1 + max(seen.epoch if seen is not None else 0, epoch_in(before))
    role = Role(
        adopted=Adopted(epoch, name, randomness.token(_NONCE_BYTES).hex(), "", "", ""),
        in_sync=(name,), promise_s=config.store.lease_s, begins=True, is_yielded=True, to=name,
        nonce=randomness.token(_NONCE_BYTES).hex(),
    )  # fmt: skip
    held.write(role.id)  # until the slot is there nobody else knows this epoch
    async with role_log(config) as roles:
        try:
            is_ours = await roles.take(seen.slot + 1 if seen is not None else 0, role)
        except Fenced:
            is_ours = False
    if not is_ours:
        wrong = "another server took the role of the directory's master meanwhile"
        raise ConfigInvalid(config.store.url, wrong, "stop the servers that have replicas first")
