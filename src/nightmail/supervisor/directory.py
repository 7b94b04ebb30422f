"""What one server has to do with the directory: the replica that it runs, and the ones that it follows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import msgspec

from nightmail.admin.answers import DirectoryPicture, PartPicture
from nightmail.admin.filling import make_ready
from nightmail.admin.own_replica import replica_of
from nightmail.admin.replicas import access_of, authority_of, directory_of, replica_uris, secret_of, uri_of
from nightmail.config.settings import Config
from nightmail.directory.certificates import write_authority
from nightmail.directory.held import Held
from nightmail.directory.last_copy import COPY_NAME
from nightmail.directory.one_change_more import make_one_change_more
from nightmail.directory.parts import Part
from nightmail.directory.replica import Replica
from nightmail.directory.slapd import command, find_installation, note_damage_of, prepare
from nightmail.errors import ConfigInvalid
from nightmail.supervisor.following import DirectoryReloads
from nightmail.supervisor.moving_role import MovingRole
from nightmail.supervisor.replica import ReplicaChild
from nightmail.supervisor.tables import Announce, Reloads
from nightmail.world import Clock, Randomness

_TRY_AGAIN_S = 10.0


class ServerDirectory:
    """The parts of the directory that `config`'s server needs. `owned` are the directories that it keeps files in."""

    def __init__(self, config: Config, compiled: str, clock: Clock, randomness: Randomness) -> None:
        """`compiled` is the directory for compiled tables.

        Raises:
            ConfigInvalid: the secret is none, or slapd is not installed.
        """
        self._config = config
        self._settings = directory_of(config)
        self._site = config.site_of(config.server.name)
        self._compiled = compiled
        self._clock = clock
        self._randomness = randomness
        self._secret = secret_of(self._settings)
        self.owned = (self._settings.data_directory,)
        self._replica: ReplicaChild | None = None
        self._reloads: DirectoryReloads | None = None
        self._moving: MovingRole | None = None
        if config.server.name in config.replicas:
            find_installation()
            self._replica = ReplicaChild(self._prepare, self._note_damage, clock, self._replica_started)
            self._stopping = self._replica.stopping

    def keep_routing(self, announce: Announce) -> Reloads:
        """Have routing be as the directory has it."""
        authority = authority_of(self._config)
        write_authority(authority, self._secret)
        self._reloads = DirectoryReloads(
            self._settings.suffix,
            replica_uris(self._config),
            self._master_uri,
            access_of(self._settings, "reader", authority),
            announce,
            compiled=self._compiled,
            copy_path=os.path.join(self._settings.data_directory, COPY_NAME),
            base=self._config.base,
            parts=self._config.parts,
            lag_limit_s=self._settings.lag_limit_s,
        )
        return self._reloads

    async def run(self) -> None:
        """Run this server's replica, if it has one, until cancelled."""
        if self._replica is None:
            return
        if not self._config.has_failover:
            await self._replica.run()
            return
        while self._moving is None:
            try:
                self._moving = MovingRole(self._config, self._replica, self._clock, self._randomness)
            except (ConfigInvalid, OSError) as error:
                self._replica.note_fault(error)
                await asyncio.sleep(_TRY_AGAIN_S)
        await self._moving.run()

    async def promote(self, is_forced: bool) -> bool:
        """Have the master's role handed over to this server, or taken, if that `is_forced`; whether it has it now.

        Raises:
            ConfigInvalid: it can't be.
            StoreUnavailable: the store is out of reach.
        """
        if self._moving is None:
            wrong = "the role of the directory's master does not move to this server"
            right = 'that takes [directory] topology = "failover", and a replica here'
            raise ConfigInvalid(self._config.path, wrong, right)
        return await self._moving.promote(is_forced=is_forced)

    def picture(self) -> DirectoryPicture:
        """How it stands."""
        replica, reloads, moving = self._replica, self._reloads, self._moving
        role = moving.role if moving is not None else None
        parts = [self._picture_of(part) for part in self._config.parts]
        own = next((part for part in parts if part.site == self._site), parts[0])
        picture = DirectoryPicture(
            suffix=self._settings.suffix,
            master=own.master,
            epoch=role.epoch if role is not None else 0,
            in_sync=role.in_sync if role is not None else (),
            followed=own.followed if all(part.followed for part in parts) else "",
            is_known=all(part.is_known for part in parts),
            entries=reloads.entries if reloads is not None else 0,
            refused=len(reloads.faults) if reloads is not None else 0,
            parts=tuple(part for part in parts if part.site),
        )
        if replica is None:
            return picture
        part = "master" if self._is_master() else "shadow"
        fault = replica.fault or (moving.fault if moving is not None else "")
        return msgspec.structs.replace(picture, role=part, state=replica.state, pid=replica.pid, fault=fault)

    def _picture_of(self, part: Part) -> PartPicture:
        reloads = self._reloads
        picture = PartPicture(site=part.site, base=part.base, master=self._master(part))
        if reloads is None:
            return picture
        return msgspec.structs.replace(
            picture,
            followed=reloads.source_of(part),
            entries=reloads.entries_of(part),
            is_known=part not in reloads.waits_for,
        )

    def _master_uri(self, part: Part) -> str:
        """Where writes to a part are taken, as far as that is known."""
        master = self._master(part)
        return uri_of(self._config, master) if master in self._config.replicas else ""

    def _master(self, part: Part) -> str:
        """The server that takes writes to a part, empty while that is not known."""
        if not self._config.has_failover:
            return self._config.master_of(part)
        role = self._moving.role if self._moving is not None else None
        return role.master if role is not None and not role.is_yielded else ""

    def _is_master(self) -> bool:
        if self._moving is not None:
            return self._moving.gate.is_open
        return self._config.server.name in map(self._master, self._config.parts)

    def _replica_started(self) -> None:
        if self._moving is not None:
            self._moving.gate.look_again()

    def _prepare(self) -> Sequence[str]:
        """Write down what the replica is to be; the command that runs it."""
        installation = find_installation()
        replica = replica_of(self._config, installation)
        if self._moving is not None:
            self._moving.make_ready(replica, installation)
        else:
            _see_that_no_role_counts(replica)
            make_ready(self._config, replica, installation, self._clock, self._stopping)
        if self._may_have_more_than_others():
            make_one_change_more(replica, installation, self._clock, self._stopping)
        prepare(replica, installation)
        return command(replica, installation)

    def _may_have_more_than_others(self) -> bool:
        """Whether what this replica has is what counts. One that gave the role up would seem to be ahead of others."""
        if self._moving is None:
            return True
        role = self._moving.role
        return role is not None and role.master == self._config.server.name and not role.is_yielded

    def _note_damage(self, words: str) -> None:
        note_damage_of(replica_of(self._config, find_installation()), words)


def _see_that_no_role_counts(replica: Replica) -> None:
    """What is written here from now on is not in step with the log of a role that moved, and may move again later.

    Raises:
        OSError: that can't be noted.
    """
    for database in replica.databases:
        held = Held(database.path)
        if held.read():
            held.void()
