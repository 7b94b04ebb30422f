"""Deferred messages by the time of their next attempt, a million of them in a few bytes each.

A calendar of short ticks: every tick in use has a list of what is due in it, and a heap orders the ticks. An entry
costs one pointer here. Whether a pointer still holds is told by the entry itself, so that cancelling and putting off
touch no list; pointers that hold no more are swept once they outnumber the others.

A whole queue that is taken over comes in at once, and gets its pointers step by step: a million of them in one go would
keep everything else waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from math import ceil
from typing import Generic, Protocol, TypeVar

TICKS_PER_S = 8
_EARLIEST = 1 / TICKS_PER_S
_FEW = 1024


class Waits(Protocol):
    """What can wait: it notes for how long. The field is `Waiting`'s to write, anybody's to read."""

    wait_until: float
    """Seconds of `Clock.wall`; 0 while it does not wait."""


Entry = TypeVar("Entry", bound=Waits)


class Waiting(Generic[Entry]):
    """Gives every entry back once, never before its time and at most an eighth of a second after it.

    Those of `wait_all` may come later by as long as it takes until they are sorted in. Times are seconds of
    `Clock.wall`.
    """

    def __init__(self) -> None:
        self._ticks: dict[int, list[Entry]] = {}
        self._order: list[int] = []
        # What is due whatever its time, the earliest tick last.
        self._hurried: dict[int, list[Entry]] = {}
        self._unsorted: deque[Entry] = deque()
        self._pointers = 0
        self._count = 0

    def __len__(self) -> int:
        """How many entries wait."""
        return self._count

    def wait(self, entry: Entry, until: float) -> None:
        """Keep `entry` until that time; one that waits already is put off or brought forward."""
        if not entry.wait_until:
            self._count += 1
        entry.wait_until = max(until, _EARLIEST)
        self._point_to(entry)
        if self._pointers > 2 * self._count + _FEW:
            self._sweep()

    def wait_all(self, entries: Sequence[Entry], until: Callable[[Entry], float]) -> None:
        """Keep these, each until its time; `sort_in` is to be called until it says that it is done."""
        for entry in entries:
            if not entry.wait_until:
                self._count += 1
            entry.wait_until = max(until(entry), _EARLIEST)
        self._unsorted.extend(entries)

    def sort_in(self, limit: int) -> bool:
        """Have as many of those that came all at once be found when they are due; whether there are more of them."""
        for _ in range(min(limit, len(self._unsorted))):
            entry = self._unsorted.popleft()
            if entry.wait_until:  # else it was cancelled since
                self._point_to(entry)
        return bool(self._unsorted)

    def _point_to(self, entry: Entry) -> None:
        tick = ceil(entry.wait_until * TICKS_PER_S)
        entries = self._ticks.get(tick)
        if entries is None:
            self._ticks[tick] = [entry]
            heappush(self._order, tick)
        else:
            entries.append(entry)
        self._pointers += 1

    def cancel(self, entry: Entry) -> None:
        """`entry` waits no more; one that doesn't wait is no error."""
        if entry.wait_until:
            entry.wait_until = 0.0
            self._count -= 1

    def due(self, now: float, limit: int) -> list[Entry]:
        """At most `limit` entries whose time has come; they wait no more. Fewer than `limit`: there are no others."""
        found: list[Entry] = []
        while len(found) < limit and (tick := self._due_tick(now)) is not None:
            entries = self._hurried.get(tick) or self._ticks[tick]
            taken = entries[len(found) - limit :]
            del entries[len(found) - limit :]
            self._pointers -= len(taken)
            for entry in taken:
                if _holds(entry, tick):
                    entry.wait_until = 0.0
                    found.append(entry)
        self._count -= len(found)
        return found

    def hurry_all(self) -> None:
        """Everything is due now. Costs time by the ticks in use and by what is not sorted in, not by the entries."""
        for tick in sorted(self._ticks, reverse=True):
            self._hurried.setdefault(tick, []).extend(self._ticks[tick])
        self._ticks = {}
        self._order = []
        for entry in self._unsorted:
            if entry.wait_until:
                entry.wait_until = _EARLIEST

    def _due_tick(self, now: float) -> int | None:
        """The tick to serve next; its list is not empty. Empty ones are dropped on the way."""
        while self._hurried:
            tick = next(reversed(self._hurried))
            if self._hurried[tick]:
                return tick
            del self._hurried[tick]
        while self._order and self._order[0] <= now * TICKS_PER_S:
            tick = self._order[0]
            if self._ticks[tick]:
                return tick
            del self._ticks[heappop(self._order)]
        return None

    def _sweep(self) -> None:
        """Drop the pointers that hold no more."""
        self._ticks = _held(self._ticks)
        self._hurried = _held(self._hurried)
        self._order = sorted(self._ticks)
        self._pointers = sum(map(len, self._ticks.values())) + sum(map(len, self._hurried.values()))


def _holds(entry: Waits, tick: int) -> bool:
    return entry.wait_until != 0.0 and ceil(entry.wait_until * TICKS_PER_S) == tick


def _held(ticks: dict[int, list[Entry]]) -> dict[int, list[Entry]]:
    """The same calendar with each entry that still waits, once, and no empty tick."""
    held = {tick: {id(entry): entry for entry in entries if _holds(entry, tick)} for tick, entries in ticks.items()}
    return {tick: list(entries.values()) for tick, entries in held.items() if entries}
