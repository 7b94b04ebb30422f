"""What a gated replica is told while it runs, over its Unix socket: whom to follow, and whether it takes writes.

Each call opens a session of its own and blocks for a few milliseconds, or for as long as the session's time limit where
slapd hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, TypeVar

import ldap

from nightmail.directory.replica import ENTRIES, ROLE, Replica, consumer
from nightmail.directory.sessions import Access, open_session, words
from nightmail.directory.slapd import manager_uri
from nightmail.errors import DirectoryUnavailable

_Answer = TypeVar("_Answer")


_PROVIDER = re.compile(r"\bprovider=(\S+)")


class Part(NamedTuple):
    """What a replica is: whose content it has (a server's name), in which epoch, whether it takes writes, and the URI
    of the replica that it follows, empty for none; `is_over` once it was shut for good. One that was not told anything
    yet is of the epoch 0.
    """

    master: str = ""
    epoch: int = 0
    is_open: bool = False
    provider: str = ""
    is_over: bool = False


class Manager:
    """The manager of one replica that runs. Every call raises DirectoryUnavailable where slapd does not do it."""

    def __init__(self, replica: Replica, timeout_s: float) -> None:
        self._replica = replica
        self._access = Access(timeout_s=timeout_s)

    def follow(self, provider: str, master: str, epoch: int) -> None:
        """Have it follow the master at `provider`, whose content in `epoch` it has or is to get; it takes no writes."""
        wanted = [consumer(self._replica, self._replica.databases[0], provider).encode()]
        with self._session() as session:
            self._shut(session)
            self._drop(session, "olcReadOnly")
            session.modify_s(ENTRIES, [(ldap.MOD_REPLACE, "olcSyncrepl", wanted)])
            self._tell(session, Part(master, epoch))

    def lead(self, epoch: int, master: str) -> None:
        """Have it take writes, and nothing any more from whom it followed: what comes late would undo them."""
        with self._session() as session:
            self._drop(session, "olcSyncrepl", "olcReadOnly")
            self._tell(session, Part(master, epoch, is_open=True))

    def shut(self, *, is_last: bool = False) -> None:
        """Have it take no writes; once this returns those that it `is_last` known to have begun are over, too."""
        with self._session() as session:
            self._shut(session)
            if is_last:  # slapd changes its configuration only once nothing else is under way
                session.modify_s(ENTRIES, [(ldap.MOD_REPLACE, "olcReadOnly", [b"TRUE"])])

    def look(self) -> tuple[Part, str]:
        """What it is, and the number of the newest change that it has (contextCSN), empty if it has none."""
        with self._session() as session:
            role = self._read(session, ROLE)
            changes = self._read(session, self._replica.suffix, "contextCSN").get("contextCSN", ())
            settings = self._read(session, ENTRIES, "olcSyncrepl", "olcReadOnly")
        provider = next((match[1] for text in settings.get("olcSyncrepl", ()) if (match := _PROVIDER.search(text))), "")
        is_over = settings.get("olcReadOnly") == ["TRUE"]
        if not role:
            return Part(provider=provider, is_over=is_over), max(changes, default="")
        epoch, is_open = int(role["nmEpoch"][0]), role["nmEnabled"] == ["TRUE"]
        return Part(role["nmServer"][0], epoch, is_open, provider, is_over), max(changes, default="")

    def _read(self, session: Any, name: str, *attributes: str) -> dict[str, list[str]]:
        """What one entry says; nothing, where there is none."""
        try:
            [(_, values)] = session.search_s(name, ldap.SCOPE_BASE, attrlist=list(attributes) or None)
        except ldap.NO_SUCH_OBJECT:
            return {}
        return {attribute: [value.decode() for value in each] for attribute, each in values.items()}

    def _shut(self, session: Any) -> None:
        with contextlib.suppress(ldap.NO_SUCH_OBJECT):  # it was not told anything yet
            session.modify_s(ROLE, [(ldap.MOD_REPLACE, "nmEnabled", [b"FALSE"])])

    def _tell(self, session: Any, told: Part) -> None:
        values = {
            "nmEnabled": [b"TRUE" if told.is_open else b"FALSE"],
            "nmEpoch": [str(told.epoch).encode()],
            "nmServer": [told.master.encode()],
        }
        try:
            session.modify_s(ROLE, [(ldap.MOD_REPLACE, name, value) for name, value in values.items()])
        except ldap.NO_SUCH_OBJECT:
            named = {"objectClass": [b"nmRole"], "cn": [b"role"]}
            session.add_s(ROLE, [*(named | values).items()])

    def _drop(self, session: Any, *settings: str) -> None:
        for setting in settings:
            with contextlib.suppress(ldap.NO_SUCH_ATTRIBUTE):
                session.modify_s(ENTRIES, [(ldap.MOD_DELETE, setting, None)])

    @contextlib.contextmanager
    def _session(self) -> Iterator[Any]:
        uri = manager_uri(self._replica)
        session = open_session(uri, self._access)
        try:
            yield session
        except ldap.LDAPError as error:
            raise DirectoryUnavailable(f"{uri}: {words(error)}") from error
        finally:
            session.unbind_s()


class ManagerThread:
    """A manager whose calls are carried out by a thread of its own, one after the other: none of them stands behind
    what waits for somebody else's replica.
    """

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._thread = ThreadPoolExecutor(1, "directory-manager")

    async def follow(self, provider: str, master: str, epoch: int) -> None:
        """See `Manager.follow`."""
        await self._do(partial(self._manager.follow, provider, master, epoch))

    async def lead(self, epoch: int, master: str) -> None:
        """See `Manager.lead`."""
        await self._do(partial(self._manager.lead, epoch, master))

    async def shut(self, *, is_last: bool = False) -> None:
        """See `Manager.shut`."""
        await self._do(partial(self._manager.shut, is_last=is_last))

    async def look(self) -> tuple[Part, str]:
        """See `Manager.look`."""
        return await self._do(self._manager.look)

    async def _do(self, work: Callable[[], _Answer]) -> _Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
