"""What one server has to do with the directory: the replica that it runs, and the ones that it follows."""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec

from nightmail.admin.answers import DirectoryPicture
from nightmail.admin.filling import fill_if_empty
from nightmail.admin.own_replica import replica_of
from nightmail.admin.replicas import access_of, authority_of, directory_of, replica_uris, secret_of, uri_of
from nightmail.config.settings import Config
from nightmail.directory.certificates import write_authority
from nightmail.directory.last_copy import COPY_NAME
from nightmail.directory.slapd import command, find_installation, has_entries, prepare
from nightmail.errors import ConfigInvalid
from nightmail.supervisor.following import DirectoryReloads
from nightmail.supervisor.replica import ReplicaChild
from nightmail.supervisor.tables import Announce, Reloads
from nightmail.world import Clock


class ServerDirectory:
    """The parts of the directory that `config`'s server needs. `owned` are the directories that it keeps files in."""

    def __init__(self, config: Config, compiled: str, clock: Clock) -> None:
        """`compiled` is the directory for compiled tables.

        Raises:
            ConfigInvalid: the secret is none, or slapd is not installed.
        """
        self._config = config
        self._settings = directory_of(config)
        self._compiled = compiled
        self._secret = secret_of(self._settings)
        self.owned = (self._settings.data_directory,)
        self._replica: ReplicaChild | None = None
        self._reloads: DirectoryReloads | None = None
        if config.server.name in config.replicas:
            find_installation()
            self._replica = ReplicaChild(self._prepare, clock)

    def keep_routing(self, announce: Announce) -> Reloads:
        """Have routing be as the directory has it."""
        authority = authority_of(self._config)
        write_authority(authority, self._secret)
        self._reloads = DirectoryReloads(
            self._settings.suffix,
            replica_uris(self._config),
            uri_of(self._config, self._config.master),
            access_of(self._settings, "reader", authority),
            announce,
            compiled=self._compiled,
            copy_path=os.path.join(self._settings.data_directory, COPY_NAME),
            base=self._config.base,
        )
        return self._reloads

    async def run(self) -> None:
        """Run this server's replica, if it has one, until cancelled."""
        if self._replica is not None:
            await self._replica.run()

    def picture(self) -> DirectoryPicture:
        """How it stands."""
        replica, reloads = self._replica, self._reloads
        picture = DirectoryPicture(
            suffix=self._settings.suffix,
            followed=reloads.source if reloads is not None else "",
            entries=reloads.entries if reloads is not None else 0,
            refused=len(reloads.faults) if reloads is not None else 0,
        )
        if replica is None:
            return picture
        role = "master" if self._config.server.name == self._config.master else "shadow"
        return msgspec.structs.replace(picture, role=role, state=replica.state, pid=replica.pid, fault=replica.fault)

    def _prepare(self) -> Sequence[str]:
        """Write down what the replica is to be; the command that runs it."""
        installation = find_installation()
        replica = replica_of(self._config, installation)
        if not replica.provider and not has_entries(replica):
            wrong = "the master of the directory has no entries"
            right = (
                "`nightmail directory init` begins a new one, `nightmail directory reseed` takes what the shadow has"
            )
            raise ConfigInvalid(replica.directory, wrong, right)
        fill_if_empty(self._config, replica, installation)
        prepare(replica, installation)
        return command(replica, installation)
