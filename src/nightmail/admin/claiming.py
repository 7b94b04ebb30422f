"""Taking the role of the directory's master for a server that does not run, with entries that an operator put there.

It is yielded to that server at once, which takes it up when it starts. All other replicas begin anew.
"""

from __future__ import annotations

import asyncio

from nightmail.config.settings import Config
from nightmail.directory.confirming import look
from nightmail.directory.held import Held
from nightmail.directory.role import Role, Sighting, epoch_in, wait_s
from nightmail.directory.role_log import RoleLog
from nightmail.errors import ConfigInvalid, Corrupt, DirectoryUnavailable, Fenced, StoreUnavailable
from nightmail.journal.records import Adopted
from nightmail.store.opening import open_store
from nightmail.world import SystemClock, SystemRandomness

_LOOK_S = 0.1
_NONCE_BYTES = 16
_FURTHER_S = 1.0


def refuse_where_there_is_a_role(config: Config) -> None:
    """See that nobody was ever the master. Blocks. Raises: ConfigInvalid: somebody was."""
    if (seen := asyncio.run(_look(config))) is not None:
        wrong = f"the directory has a master, {seen.role.master}"
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
    store = open_store(config.store.url, SystemRandomness())
    try:
        return await RoleLog(store, SystemClock()).look(None)
    except (StoreUnavailable, Corrupt) as error:
        raise DirectoryUnavailable(f"the log of the master's role can't be read: {error}") from error
    finally:
        await store.close()


async def _stand_still(config: Config) -> Sighting | None:
    clock, store = SystemClock(), open_store(config.store.url, SystemRandomness())
    roles = RoleLog(store, clock)
    try:
        if await roles.look(None) is None:
            return None
        first = seen = await look(roles)
        while not seen.role.is_yielded and seen.looked_at - seen.since < wait_s(seen.role, "") + _FURTHER_S:
            await asyncio.sleep(_LOOK_S)
            seen = await look(roles, seen)
            if seen.slot != first.slot:
                wrong = f"{seen.role.master} is the directory's master"
                raise ConfigInvalid(config.store.url, wrong, "stop the servers that have replicas first")
    except (StoreUnavailable, Corrupt) as error:
        raise DirectoryUnavailable(f"the log of the master's role can't be read: {error}") from error
    else:
        return seen
    finally:
        await store.close()


async def _claim(config: Config, held: Held, before: str) -> None:
    seen = await _stand_still(config)
    randomness = SystemRandomness()
    name, epoch = config.server.name, 1 + max(seen.role.epoch if seen is not None else 0, epoch_in(before))
    role = Role(
        adopted=Adopted(epoch, name, randomness.token(_NONCE_BYTES).hex(), "", "", ""),
        in_sync=(name,), promise_s=config.store.lease_s, begins=True, is_yielded=True, to=name, alike=(),
        nonce=randomness.token(_NONCE_BYTES).hex(),
    )  # fmt: skip
    held.write(role.id)  # until the slot is there nobody else knows this epoch
    store = open_store(config.store.url, randomness)
    try:
        is_ours = await RoleLog(store, SystemClock()).take(seen.slot + 1 if seen is not None else 0, role)
    except StoreUnavailable as error:
        raise DirectoryUnavailable(f"the role can't be taken: {error}") from error
    except Fenced:
        is_ours = False
    finally:
        await store.close()
    if not is_ours:
        wrong = "another server took the role of the directory's master meanwhile"
        raise ConfigInvalid(config.store.url, wrong, "stop the servers that have replicas first")
