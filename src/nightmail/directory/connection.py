"""One connection to a replica, driven by the event loop: many searches under way at a time, each with a limit.

libldap speaks the protocol and never waits here: its socket is watched, and what has come is taken from it when the
socket says so. Only opening a connection waits, in a thread. So many searches are under way at once, of no more bytes
than the socket takes; further ones wait for their turn, and their time begins with it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ldap

from nightmail.directory.opening import opened
from nightmail.directory.sessions import Access, item_of_answer, words
from nightmail.directory.tree import Item
from nightmail.errors import DirectoryUnavailable

_NOW = 0
_UNDER_WAY = 16
_UNDER_WAY_BYTES = 96 << 10

Answered = Callable[[list[Item] | DirectoryUnavailable], None]


class _Search(NamedTuple):
    """One that was asked for; `found` fills as entries come."""

    base: str
    filter_text: str
    attributes: Sequence[str]
    is_base: bool
    timeout_s: float
    answered: Answered
    found: list[Item]
    limit: int

    @property
    def size_bytes(self) -> int:
        """About how much of the socket's room it takes."""
        return len(self.base) + len(self.filter_text)


class Connection:
    """A bound connection; `open` makes one, for the loop that it is opened in. `closed` is called when it is over."""

    def __init__(self, uri: str, session: Any, closed: Callable[[], None]) -> None:
        self.uri = uri
        self.is_closed = False
        self._session = session
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Search] = deque()
        self._waiting: dict[int, tuple[_Search, asyncio.TimerHandle]] = {}
        self._under_way_bytes = 0
        self._descriptor: int = session.fileno()
        self._loop.add_reader(self._descriptor, self._take)

    @classmethod
    async def open(cls, uri: str, access: Access, closed: Callable[[], None]) -> Connection:
        """Connect and bind.

        Raises:
            DirectoryUnavailable: the replica does not answer in time, or does not let us in.
        """
        return cls(uri, await opened(uri, access), closed)

    def search(
        self,
        base: str,
        filter_text: str,
        attributes: Sequence[str],
        answered: Answered,
        timeout_s: float,
        *,
        is_base: bool = False,
        limit: int = 0,
    ) -> None:
        """Have `answered` called with the entries below `base` that match, or with why there are none to be had.

        `is_base` asks for the entry `base` alone, `limit` for so many at most; none are found where there is no `base`.
        A replica that does not answer in time is not waited for any more: the connection is closed.
        """
        if self.is_closed:
            self._loop.call_soon(answered, DirectoryUnavailable(f"{self.uri}: the connection is closed"))
            return
        self._queue.append(_Search(base, filter_text, attributes, is_base, timeout_s, answered, [], limit))
        self._send()

    def close(self, why: str = "the connection is closed") -> None:
        """End it; whoever waits is told why."""
        if self.is_closed:
            return
        self.is_closed = True
        self._loop.remove_reader(self._descriptor)
        with contextlib.suppress(ldap.LDAPError):
            self._session.unbind()
        waiting, self._waiting = self._waiting, {}
        for _, timer in waiting.values():
            timer.cancel()
        for search in [*(search for search, _ in waiting.values()), *self._queue]:
            self._loop.call_soon(search.answered, DirectoryUnavailable(why))
        self._queue.clear()
        self._closed()

    def _send(self) -> None:
        """Send what has its turn."""
        while self._queue and self._has_room() and not self.is_closed:
            search = self._queue[0]
            scope = ldap.SCOPE_BASE if search.is_base else ldap.SCOPE_SUBTREE
            try:
                number = self._session.search_ext(
                    search.base, scope, search.filter_text, list(search.attributes), sizelimit=search.limit
                )
            except ldap.LDAPError as error:
                self.close(f"{self.uri}: {words(error)}")
                return
            except (TypeError, ValueError) as error:  # its text can't be sent to anybody
                self._queue.popleft()
                self._loop.call_soon(search.answered, DirectoryUnavailable(f"{self.uri}: {error}"))
                continue
            self._queue.popleft()
            timer = self._loop.call_later(search.timeout_s, self._late, number)
            self._waiting[number] = search, timer
            self._under_way_bytes += search.size_bytes

    def _has_room(self) -> bool:
        return len(self._waiting) < _UNDER_WAY and self._under_way_bytes < _UNDER_WAY_BYTES

    def _late(self, number: int) -> None:
        self._take()  # it may have come while we were busy with something else
        if number in self._waiting:
            self.close(f"{self.uri}: no answer within {self._waiting[number][0].timeout_s:g} s")

    def _take(self) -> None:
        """Take everything that has come; one reading of the socket may have brought several answers."""
        while not self.is_closed:
            try:
                kind, data, number, _ = self._session.result3(ldap.RES_ANY, 0, _NOW)
            except ldap.LDAPError as error:
                number = _number_of(error)
                if number not in self._waiting:
                    self.close(f"{self.uri}: {words(error)}")
                    return
                self._answer(number, self._in_spite_of(error, self._waiting[number][0]))
                continue
            except Exception as error:  # noqa: BLE001 - whatever a replica sends ends its connection, and nothing else
                self.close(f"{self.uri}: what it sends can't be read: {type(error).__name__}: {error}")
                return
            if kind is None:
                return
            if number not in self._waiting:
                continue
            search = self._waiting[number][0]
            if kind == ldap.RES_SEARCH_RESULT:
                self._answer(number, search.found)
            elif kind == ldap.RES_SEARCH_ENTRY:
                search.found.extend(item_of_answer(name, values) for name, values in data)

    def _in_spite_of(self, error: ldap.LDAPError, search: _Search) -> list[Item] | DirectoryUnavailable:
        """The answer where a search ends with an error: some say what was to be found out."""
        if isinstance(error, ldap.NO_SUCH_OBJECT) and (search.is_base or search.limit):
            return []
        if isinstance(error, ldap.SIZELIMIT_EXCEEDED) and search.limit and len(search.found) >= search.limit:
            return search.found
        return DirectoryUnavailable(f"{self.uri}: {words(error)}")

    def _answer(self, number: int, answer: list[Item] | DirectoryUnavailable) -> None:
        search, timer = self._waiting.pop(number)
        self._under_way_bytes -= search.size_bytes
        timer.cancel()
        # Not from here: what whoever asked makes of it is no business of this connection.
        self._loop.call_soon(search.answered, answer)
        self._send()


def _number_of(error: ldap.LDAPError) -> int:
    details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return int(details.get("msgid", -1))
