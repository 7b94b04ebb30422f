"""One replica as lookups use it: a connection for questions, and one on which the changes of each part come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import structlog

from nightmail.directory.connection import Connection
from nightmail.directory.content import Message
from nightmail.directory.external import say_refused
from nightmail.directory.feed import ChangeFeed
from nightmail.directory.lag import Lag
from nightmail.directory.schemas import Schema
from nightmail.directory.sessions import Access, Refused
from nightmail.directory.told_masters import ROOT, SAYS, Told, told_in
from nightmail.directory.tree import Item
from nightmail.errors import DirectoryUnavailable

_ANEW_S = 0.25
_TOLD_TIMEOUT_S = 2.0
_ANYTHING = "(objectClass=*)"
_IS_OPEN = "nmEnabled"
_NOT_YET = "it is not connected to yet"
NONE_ASKED = "see why: until one can be asked, mail for addresses that are not remembered gets 451"

MakeFeed = Callable[[str, Callable[[Message], None], Callable[[], None], Schema], ChangeFeed]

log = structlog.get_logger()


class PartAtReplica:
    """One part of the directory at one replica: how its changes are heard of, and how far behind it is."""

    def __init__(self, feed: ChangeFeed, lag: Lag) -> None:
        self.feed = feed
        self.lag = lag

    @property
    def state(self) -> str:
        """How far the part is."""
        return self.feed.state


class Link:
    """The replica at `uri`. It `is_ready` to be asked while it is connected to, and followed below all of `bases`.

    `fault` says why not; it `is_met` once that was tried. `take` is given each change, `is_current` is called when it
    is ready, `is_lost` when it is no more, or could not be; `is_alone` tells whether no other one is ready. Where
    `was_told` is given, the replica is first asked which masters it was told, and that is called with the answer. Where
    the master's `role` moves, that is the entry that says whether it `takes_writes`.
    """

    def __init__(
        self,
        uri: str,
        bases: Sequence[str],
        access: Access,
        lag_limit_s: float,
        *,
        schema: Schema,
        make_feed: MakeFeed,
        take: Callable[[Message], None],
        is_current: Callable[[str], None],
        is_lost: Callable[[], object],
        is_alone: Callable[[str], bool],
        was_told: Callable[[str, Told], None] | None = None,
        role: str = "",
    ) -> None:
        self.uri = uri
        self.is_ready = self.is_met = self.takes_writes = False
        self.fault = f"{uri}: {_NOT_YET}"
        self._access = access
        self._is_current = is_current
        self._is_lost = is_lost
        self._is_alone = is_alone
        self._has_failed = False
        self._connection: Connection | None = None
        self._is_over = asyncio.Event()
        self._attributes = schema.attributes
        self.parts = [
            PartAtReplica(make_feed(base, take, partial(self._is_followed, base), schema), Lag(lag_limit_s))
            for base in bases
        ]
        self._awaited: set[str] = set()
        self._bases = bases
        self._was_told = was_told
        self._role = role

    def is_behind(self, now: float) -> bool:
        """Whether it has lacked a change of any part for too long; `now` is elapsed seconds."""
        return any(part.lag.is_over_limit(now) for part in self.parts)

    async def run(self) -> None:
        """Keep both connections; runs until cancelled."""
        while True:
            again_s = _ANEW_S
            try:
                await self._run_once()
            except DirectoryUnavailable as error:
                if isinstance(error, Refused):
                    again_s = max(again_s, self._access.refused_for_s)
                if self.is_ready or not self._has_failed:
                    self._say(error)
                self._has_failed, self.fault = True, str(error)
            except Exception as error:  # whatever it is, the replica is tried again
                self.fault = f"{self.uri}: {error}"
                log.exception("directory replica not asked", reason=str(error), remedy="report this")
            finally:
                is_news = self.is_ready or not self.is_met
                self.is_ready, self.is_met, self.takes_writes = False, True, False
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
                if is_news:
                    self._is_lost()
            await asyncio.sleep(again_s)

    def search(
        self,
        base: str,
        filter_text: str,
        answered: Callable[[list[Item] | DirectoryUnavailable], None],
        timeout_s: float,
        *,
        is_base: bool = False,
        attributes: Iterable[str] = (),
    ) -> None:
        """Ask the replica for `attributes`, by default all that an answer is made of; see `Connection.search`."""
        if self._connection is None:
            answered(DirectoryUnavailable(f"{self.uri}: there is no connection"))
        else:
            names = [*attributes] or self._attributes
            self._connection.search(base, filter_text, names, answered, timeout_s, is_base=is_base)

    def look_at_role(self) -> None:
        """Ask whether it takes writes, where that may change."""
        if self._role and self._connection is not None:
            answered = self._says_whether_it_takes_writes
            self.search(self._role, _ANYTHING, answered, _TOLD_TIMEOUT_S, is_base=True, attributes=[_IS_OPEN])

    def _say(self, error: DirectoryUnavailable) -> None:
        if isinstance(error, Refused):
            say_refused(error, self._access)
        else:
            remedy = NONE_ASKED if self._is_alone(self.uri) else "none: another one is asked"
            log.warning("directory replica not asked", reason=str(error), remedy=remedy)

    async def _run_once(self) -> None:
        self._is_over.clear()
        self._awaited = set(self._bases)
        self._connection = await Connection.open(self.uri, self._access, self._is_over.set)
        if self._was_told is not None:
            self._awaited.add(ROOT)
            answered = self._says_what_it_was_told
            self.search(ROOT, _ANYTHING, answered, _TOLD_TIMEOUT_S, is_base=True, attributes=[SAYS])
        if self._role:
            self._awaited.add(self._role)
            self.look_at_role()
        following = [asyncio.create_task(part.feed.follow(self.uri, self._access)) for part in self.parts]
        over = asyncio.create_task(self._is_over.wait())
        try:
            await asyncio.wait([*following, over], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*following, over):
                task.cancel()
            ended = await asyncio.gather(*following, return_exceptions=True)
        faults = (fault for fault in ended if isinstance(fault, DirectoryUnavailable))
        raise next(faults, DirectoryUnavailable(f"{self.uri}: no answer"))

    def _says_what_it_was_told(self, answer: list[Item] | DirectoryUnavailable) -> None:
        if isinstance(answer, DirectoryUnavailable) or self._connection is None:
            self._is_over.set()
        elif self._was_told is not None:
            self._was_told(self.uri, told_in(value for item in answer for value in item.values(SAYS)))
            self._is_followed(ROOT)

    def _says_whether_it_takes_writes(self, answer: list[Item] | DirectoryUnavailable) -> None:
        if isinstance(answer, DirectoryUnavailable) or self._connection is None:
            self._is_over.set()
            return
        self.takes_writes = any(item.value(_IS_OPEN) == "TRUE" for item in answer)
        if self._role in self._awaited:
            self._is_followed(self._role)

    def _is_followed(self, base: str) -> None:
        """Changes below `base` come, from now on; or it is not that, but what there is to know before it is asked."""
        self._awaited.discard(base)
        if self._awaited:
            return
        self.is_ready, self.is_met, self._has_failed, self.fault = True, True, False, ""
        self._is_current(self.uri)
