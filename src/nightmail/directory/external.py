"""Directories that are not ours: followed where they tell of changes, else looked at now and then.

Whether a server tells of changes is asked of itself: it has the control for it (RFC 4533), and the top of the tree says
how far it is (contextCSN). OpenLDAP with syncprov does; Active Directory and 389 Directory Server don't.

A directory that shows us nothing hides it: nobody can tell a person that is none from one that our account may not see,
nor one without an address from one whose address it may not. So it is out of reach until there is somebody to be seen
who has one. Where there are people it has to be one of them: groups without an address are in every directory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any

import ldap
import structlog
from ldap.controls.libldap import SimplePagedResultsControl
from ldap.syncrepl import SyncRequestControl

from nightmail.directory.connection import Connection
from nightmail.directory.content import Changed, Expired, Message, Presence, Refreshed
from nightmail.directory.feed import ChangeFeed, Feed
from nightmail.directory.schemas import Addressed, Schema
from nightmail.directory.sessions import Access, NothingShown, Refused, text_of_values
from nightmail.directory.tree import ATTRIBUTES, Item, folded, folded_name
from nightmail.directory.writing import Directory, Faults
from nightmail.errors import ConfigInvalid, DirectoryUnavailable

_STATE = "contextCSN"
_PAGE = 500
_SEARCHING_S = 10.0
_ANYTHING = "(objectClass=*)"

log = structlog.get_logger()


class ExternalChanges(ChangeFeed):
    """Changes at one server, or every `poll_interval_s` that there may have been some."""

    def __init__(
        self,
        base: str,
        tell: Callable[[Message], None],
        ready: Callable[[], None],
        schema: Schema,
        *,
        poll_interval_s: float,
    ) -> None:
        super().__init__(base, tell, ready, schema)
        self._poll_interval_s = poll_interval_s

    async def follow(self, uri: str, access: Access) -> None:
        """Follow at the server `uri` for as long as it can be done; the error says why no longer.

        Raises:
            DirectoryUnavailable: always, in the end.
        """
        self.state, self._is_ready = "", False
        is_over = asyncio.Event()
        connection = await Connection.open(uri, access, is_over.set)
        try:
            shown = await find_shown(connection, self._base, self._schema.addressed)
            if await tells_changes(connection, self._base, access.timeout_s):
                watching = self._watch(connection, shown, is_over, is_told=True)
                await _first_to_end(super().follow(uri, access), watching)
            else:
                self.came("")
                await self._watch(connection, shown, is_over, is_told=False)
        finally:
            connection.close()

    async def _watch(self, connection: Connection, shown: str, is_over: asyncio.Event, *, is_told: bool) -> None:
        """See now and then that there is somebody to be seen; where nothing is told, what was known expires with it."""
        loop = asyncio.get_running_loop()
        due_at = loop.time() + self._poll_interval_s
        while not await _is_set(is_over, due_at - loop.time()):
            due_at += self._poll_interval_s
            try:
                shown = await find_shown(connection, self._base, self._schema.addressed, shown)
            except NothingShown:
                self._tell(Expired())  # that it said nobody has an address may be untrue
                raise
            if not is_told:
                self._tell(Expired())
        raise DirectoryUnavailable(f"{connection.uri}: the connection is closed")


class ExternalFeed(Feed):
    """The entries below `base` that `filter_text` matches, read anew every `poll_interval_s` where it has to be."""

    def __init__(
        self,
        base: str,
        filter_text: str,
        changed: Callable[[], None],
        *,
        items: Mapping[str, Item],
        cookie: str,
        poll_interval_s: float,
    ) -> None:
        super().__init__(base, filter_text, changed, items=items, cookie=cookie)
        self._poll_interval_s = poll_interval_s

    async def follow(self, uri: str, access: Access) -> None:
        """Follow at the server `uri` for as long as it can be done; the error says why no longer.

        Raises:
            DirectoryUnavailable: always, in the end.
        """
        try:
            connection = await Connection.open(uri, access, lambda: None)
        except Refused as error:
            say_refused(error, access)
            await asyncio.sleep(access.refused_for_s)
            raise
        try:
            is_told = await tells_changes(connection, self._base, access.timeout_s)
        finally:
            connection.close()
        if is_told:
            await super().follow(uri, access)
        else:
            await self._poll(uri, access)

    async def _poll(self, uri: str, access: Access) -> None:
        self._uri, self._is_known, self.is_ahead = uri, False, False
        try:
            while True:
                self._take_all(await asyncio.to_thread(self._read_all, uri, access))
                await asyncio.sleep(self._poll_interval_s)
        finally:
            self.source = ""

    def _read_all(self, uri: str, access: Access) -> list[Item]:
        try:
            with PagedDirectory(uri, access) as directory:
                return [*map(folded, directory.search(self._base, self._filter, ATTRIBUTES))]
        except ConfigInvalid as error:
            raise DirectoryUnavailable(f"{uri}: {error}") from error

    def _take_all(self, items: Sequence[Item]) -> None:
        self.content.begin()
        for item in items:
            self.take(Changed(folded_name(item.dn), item))
        self.take(Presence())
        self.take(Refreshed())
        self.cookie = ""
        self.came("")


def say_refused(error: Refused, access: Access) -> None:
    """Say that a server does not let us in."""
    remedy = "mend bind_dn or password_file, and start the server again"
    log.warning("directory refuses us", reason=str(error), again_s=access.refused_for_s, remedy=remedy)


class PagedDirectory(Directory):
    """A server as an operator reads it, page by page (RFC 2696): some tell no more than so many entries at once."""

    def search(self, base: str, filter_text: str = _ANYTHING, attributes: Sequence[str] = ("*",)) -> Iterator[Item]:
        """The entries below `base` that match, their attributes' names as the directory writes them.

        None where there is no entry `base`.
        """
        cookie, is_first = b"", True
        while cookie or is_first:
            page = SimplePagedResultsControl(criticality=False, size=_PAGE, cookie=cookie)
            with Faults(self.uri, filter_text):
                number = self._session.search_ext(
                    base, ldap.SCOPE_SUBTREE, filter_text, list(attributes), serverctrls=[page]
                )
            with Faults(self.uri, base):
                try:
                    _, found, _, controls = self._session.result3(number, timeout=self._timeout_s)
                except ldap.NO_SUCH_OBJECT:
                    return
                yield from (Item(name, text_of_values(values)) for name, values in found if name is not None)
                cookie, is_first = _cookie_of(controls), False


def _cookie_of(controls: Sequence[Any]) -> bytes:
    return next((bytes(each.cookie) for each in controls if isinstance(each, SimplePagedResultsControl)), b"")


async def tells_changes(connection: Connection, base: str, timeout_s: float) -> bool:
    """Whether the server tells of changes below `base` as they happen. Raises: DirectoryUnavailable."""
    control = "supportedControl"
    found = await _ask(connection, "", _ANYTHING, control, timeout_s, is_base=True)
    if not any(SyncRequestControl.controlType in item.values(control) for item in found):
        return False
    found = await _ask(connection, base, _ANYTHING, _STATE, timeout_s, is_base=True)
    return any(item.values(_STATE) for item in found)


async def find_shown(connection: Connection, base: str, who: Addressed, shown: str = "") -> str:
    """The name of one person with an address that is to be seen, the one that was `shown` before or else another one;
    or where no people are, of a list with one.

    Raises:
        NothingShown: there is none.
        DirectoryUnavailable: the server does not answer.
    """
    if shown and await _ask(connection, shown, who.people_with_one, "1.1", _SEARCHING_S, is_base=True):
        return shown
    if found := await _find_one(connection, base, who.people_with_one):
        return found
    if await _find_one(connection, base, who.people):
        what = (
            f"people below {base}, and an address of none: see schema and [directory.mapping], and whether the account "
            "may read the attributes with the addresses"
        )
    elif who.lists_with_one and (found := await _find_one(connection, base, who.lists_with_one)):
        return found
    elif await _ask(connection, base, _ANYTHING, "1.1", _SEARCHING_S, is_base=True):
        what = f"no person and no list below {base}: see schema, and what the account may read"
    else:
        what = f"no entry {base}: see suffix, and what the account may read"
    raise NothingShown(f"{connection.uri}: it shows {what}")


async def _find_one(connection: Connection, base: str, filter_text: str) -> str:
    """The name of one that matches; among many entries that takes a server longer than to look one up."""
    found = await _ask(connection, base, filter_text, "1.1", _SEARCHING_S, limit=1)
    return found[0].dn if found else ""


async def _ask(
    connection: Connection,
    base: str,
    filter_text: str,
    attribute: str,
    timeout_s: float,
    *,
    is_base: bool = False,
    limit: int = 0,
) -> list[Item]:
    answer: asyncio.Future[list[Item] | DirectoryUnavailable] = asyncio.get_running_loop().create_future()

    def answered(found: list[Item] | DirectoryUnavailable) -> None:
        if not answer.done():
            answer.set_result(found)

    connection.search(base, filter_text, [attribute], answered, timeout_s, is_base=is_base, limit=limit)
    found = await answer
    if isinstance(found, DirectoryUnavailable):
        raise found
    return found


async def _first_to_end(*endeavours: Coroutine[Any, Any, None]) -> None:
    """Go on with all of them until one ends, and then with none; raises what that one does."""
    tasks = [asyncio.create_task(each) for each in endeavours]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()


async def _is_set(event: asyncio.Event, timeout_s: float) -> bool:
    """Whether an event happens within a time."""
    try:
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    except TimeoutError:
        return False
