"""One connection to a replica, driven by the event loop: many searches under way at a time, each with a limit.

libldap speaks the protocol and never waits here: its socket is watched, and what has come is taken from it when the
socket says so. Only opening a connection waits, in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import ldap

from nightmail.directory.sessions import Access, item_of_answer, open_session, words
from nightmail.directory.tree import Item
from nightmail.errors import DirectoryUnavailable

_NOW = 0

Answered = Callable[[list[Item] | DirectoryUnavailable], None]


class Connection:
    """A bound connection; `open` makes one, for the loop that it is opened in. `closed` is called when it is over."""

    def __init__(self, uri: str, session: Any, closed: Callable[[], None]) -> None:
        self.uri = uri
        self.is_closed = False
        self._session = session
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, tuple[Answered, asyncio.TimerHandle]] = {}
        self._descriptor: int = session.fileno()
        self._loop.add_reader(self._descriptor, self._take)

    @classmethod
    async def open(cls, uri: str, access: Access, closed: Callable[[], None]) -> Connection:
        """Connect and bind.

        Raises:
            DirectoryUnavailable: the replica does not answer in time, or does not let us in.
        """
        return cls(uri, await asyncio.to_thread(open_session, uri, access), closed)

    def search(
        self,
        base: str,
        filter_text: str,
        attributes: Sequence[str],
        answered: Answered,
        timeout_s: float,
        *,
        is_base: bool = False,
    ) -> None:
        """Have `answered` called with the entries below `base` that match, or with why there are none to be had.

        `is_base` asks for the entry `base` alone.

        A replica that does not answer in time is not waited for any more: the connection is closed.
        """
        if self.is_closed:
            self._loop.call_soon(answered, DirectoryUnavailable(f"{self.uri}: the connection is closed"))
            return
        try:
            scope = ldap.SCOPE_BASE if is_base else ldap.SCOPE_SUBTREE
            number = self._session.search_ext(base, scope, filter_text, list(attributes))
        except ldap.LDAPError as error:
            fault = DirectoryUnavailable(f"{self.uri}: {words(error)}")
            self._loop.call_soon(answered, fault)
            self._loop.call_soon(self.close, str(fault))
            return
        timer = self._loop.call_later(timeout_s, self._late, timeout_s)
        self._waiting[number] = answered, timer

    def close(self, why: str = "the connection is closed") -> None:
        """End it; whoever waits is told why."""
        if self.is_closed:
            return
        self.is_closed = True
        self._loop.remove_reader(self._descriptor)
        with contextlib.suppress(ldap.LDAPError):
            self._session.unbind()
        waiting, self._waiting = self._waiting, {}
        for answered, timer in waiting.values():
            timer.cancel()
            answered(DirectoryUnavailable(why))
        self._closed()

    def _late(self, timeout_s: float) -> None:
        self.close(f"{self.uri}: no answer within {timeout_s:g} s")

    def _take(self) -> None:
        """Take everything that has come; one reading of the socket may have brought several answers."""
        while not self.is_closed:
            try:
                kind, found, number, _ = self._session.result3(ldap.RES_ANY, 1, _NOW)
            except ldap.NO_SUCH_OBJECT as error:
                self._answer(_number_of(error), [])
                continue
            except ldap.LDAPError as error:
                number = _number_of(error)
                if number not in self._waiting:
                    self.close(f"{self.uri}: {words(error)}")
                    return
                self._answer(number, DirectoryUnavailable(f"{self.uri}: {words(error)}"))
                continue
            if kind is None:
                return
            self._answer(number, [item_of_answer(name, values) for name, values in found if name is not None])

    def _answer(self, number: int, answer: list[Item] | DirectoryUnavailable) -> None:
        answered, timer = self._waiting.pop(number, (None, None))
        if answered is not None and timer is not None:
            timer.cancel()
            answered(answer)


def _number_of(error: ldap.LDAPError) -> int:
    details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return int(details.get("msgid", -1))
