"""Who takes writes to the directory now, and whether what was written there is where it has to be.

With one master for good, or one for each site, a write counts once it is on that one. Where the role moves, it counts
once it is on every replica that may take the role over: that is looked for entry by entry, at replicas that follow this
master in this epoch, and who they are is asked of the role's log after the write.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import NamedTuple

from nightmail.admin.replicas import directory_of, uri_of
from nightmail.config.settings import Config
from nightmail.directory.comparing import has_come_to, has_everything, levels_of, see
from nightmail.directory.confirming import confirmed, look
from nightmail.directory.parts import Part
from nightmail.directory.role import Role
from nightmail.directory.role_log import RoleLog
from nightmail.directory.sessions import Access
from nightmail.directory.standing import why_not_there
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable, StoreUnavailable
from nightmail.store.opening import open_store
from nightmail.world import SystemClock, SystemRandomness


class Master(NamedTuple):
    """The server that takes writes. Where the role moves: the epoch, and who is in sync; `role` is None elsewhere."""

    server: str
    role: Role | None = None


class Confirmation(NamedTuple):
    """On which servers everything that was written has been seen, and on which it has not, with the reasons."""

    seen: list[str]
    unseen: dict[str, str]


def master_for(config: Config, part: Part) -> Master:
    """Who takes writes to a part. Blocks. Raises: DirectoryUnavailable: nobody, or that can't be told."""
    return Master(config.master_of(part)) if part.site else master_now(config)


def master_now(config: Config) -> Master:
    """Who takes writes to a directory that is one whole. Blocks. Raises: see `master_for`."""
    if not config.has_failover:
        return Master(config.master)
    role = asyncio.run(_role_now(config))
    return Master(role.master, role)


def confirm(
    config: Config, master: Master, access: Access, written: Mapping[str, str], *, is_whole: bool
) -> Confirmation:
    """Wait until what was written on the master is where it has to be. Blocks.

    `is_whole`: everything that it has, where its role moves.

    Raises:
        DirectoryUnavailable: the role moves, and it is not seen everywhere: the write is not acknowledged, though it
            may be found there later.
    """
    if master.role is not None:
        return asyncio.run(_confirm(config, master.role, _Replicas(config, access, written, is_whole=is_whole)))
    others = [server for server in config.replicas if server != master.server]

    def look_for(server: str) -> str:
        return asyncio.run(why_not_there(uri_of(config, server), access, written, SystemClock()))

    with ThreadPoolExecutor(max(1, len(others))) as threads:
        reasons = dict(zip(others, threads.map(look_for, others), strict=True))
    unseen = {server: reason for server, reason in reasons.items() if reason}
    return Confirmation([server for server in others if server not in unseen], unseen)


@asynccontextmanager
async def role_log(config: Config) -> AsyncIterator[RoleLog]:
    """The log of the master's role. Raises: DirectoryUnavailable: it can't be read, or written to, while it is used."""
    store = open_store(config.store.url, SystemRandomness())
    try:
        yield RoleLog(store, SystemClock())
    except StoreUnavailable as error:
        raise DirectoryUnavailable(f"the log of the master's role is out of reach: {error}") from error
    finally:
        await store.close()


async def _role_now(config: Config) -> Role:
    async with role_log(config) as roles:
        return (await look(roles)).role


async def _confirm(config: Config, role: Role, replicas: _Replicas) -> Confirmation:
    try:
        async with role_log(config) as roles:
            replicas.note_level(role.master)
            return Confirmation(await confirmed(roles, role, replicas.lack, SystemClock()), {})
    finally:
        replicas.close()


class _Replicas:
    """Sessions with shadows, each opened when it is first needed. Every look blocks."""

    def __init__(self, config: Config, access: Access, written: Mapping[str, str], *, is_whole: bool) -> None:
        self._config = config
        self._access = access
        self._written = written
        self._is_whole = is_whole
        self._suffix = directory_of(config).suffix
        self._levels: dict[str, str] = {}
        self._open: dict[str, Directory] = {}

    def note_level(self, master: str) -> None:
        """How far the master has come with what was written. Raises: DirectoryUnavailable."""
        self._levels = levels_of(self._session(master), self._suffix)

    async def lack(self, server: str, role: Role) -> str:
        """See `confirming.Lack`."""
        try:
            replica = self._session(server)
            if not has_come_to(self._levels, replica, self._suffix) or not replica.has_all(self._written):
                return "it is behind"
            if self._is_whole and not has_everything(uri_of(self._config, role.master), replica.uri, self._access):
                return "it lacks something"
            now = see(replica, self._suffix)  # after the entries were seen: until now it had its content from there
        except (DirectoryUnavailable, ConfigInvalid) as error:
            self._drop([server])
            return str(error)
        return "" if now.epoch == role.epoch and not now.is_open else "it does not follow this master"

    def close(self) -> None:
        """End all sessions."""
        self._drop([*self._open])

    def _session(self, server: str) -> Directory:
        if server not in self._config.replicas:
            raise DirectoryUnavailable("the configuration does not have it")
        if server not in self._open:
            self._open[server] = Directory(uri_of(self._config, server), self._access)
        return self._open[server]

    def _drop(self, servers: Iterable[str]) -> None:
        for server in servers:
            if (session := self._open.pop(server, None)) is not None:
                session.close()
