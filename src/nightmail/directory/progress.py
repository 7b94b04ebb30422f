"""How far each replica has come, asked now and then: who follows one can't tell by it alone that it is behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import structlog

from nightmail.directory.connection import Connection
from nightmail.directory.lag import Lag, newest_of
from nightmail.directory.sessions import Access
from nightmail.directory.tree import Item
from nightmail.errors import DirectoryUnavailable

_STATE = "contextCSN"
_LOOK_S = 0.5
_TIMEOUT_S = 2.0

log = structlog.get_logger()


class Progress:
    """The replicas beside each other; `run` keeps a connection to each.

    What the master has is what there is to have; while it can't be asked, what the one has that is ahead of all.
    """

    def __init__(
        self, suffix: str, replicas: Sequence[str], master: Callable[[], str], access: Access, lag_limit_s: float
    ) -> None:
        self._master = master
        # What is known of one may be older by a look than what is known of another.
        self._lags = {uri: Lag(lag_limit_s + _LOOK_S) for uri in replicas}
        self._places = [_Place(suffix, uri, access) for uri in replicas]

    async def run(self, looked: Callable[[], None]) -> None:
        """Look, and call `looked` after every look, until cancelled."""
        await asyncio.gather(self._look(looked), *(place.run() for place in self._places))

    def note(self, states: dict[str, str], now: float) -> None:
        """Take in how far those have come that can be asked; `now` is elapsed seconds."""
        newest = newest_of(states, self._master())
        for uri, state in states.items():
            self._lags[uri].note(state, newest, now)

    def is_behind(self, uri: str, now: float) -> bool:
        """Whether a replica lacks a change, and has for too long."""
        return self._lags[uri].is_over_limit(now)

    async def _look(self, looked: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            states = {place.uri: place.state for place in self._places if place.state}
            self.note(states, asyncio.get_running_loop().time())
            looked()


class _Place:
    """One replica; `state` is how far it has come, or nothing while it can't be asked."""

    def __init__(self, suffix: str, uri: str, access: Access) -> None:
        self.uri = uri
        self.state = ""
        self._suffix = suffix
        self._access = access

    async def run(self) -> None:
        while True:
            try:
                with contextlib.suppress(DirectoryUnavailable):  # whoever follows it says so
                    await self._ask()
            except Exception:  # whatever it is, the replica is asked again
                log.exception("directory replica not compared", replica=self.uri, remedy="report this")
            self.state = ""
            await asyncio.sleep(_LOOK_S)

    async def _ask(self) -> None:
        over = asyncio.Event()
        connection = await Connection.open(self.uri, self._access, over.set)
        try:
            while not over.is_set():
                connection.search(self._suffix, "(objectClass=*)", [_STATE], self._told, _TIMEOUT_S, is_base=True)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await over.wait()
        finally:
            connection.close()

    def _told(self, answer: list[Item] | DirectoryUnavailable) -> None:
        if not isinstance(answer, DirectoryUnavailable):
            self.state = max((state for item in answer for state in item.values(_STATE)), default="")
