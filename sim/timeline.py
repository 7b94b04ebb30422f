"""Who wrote which slot, and when: what the promises about ownership are checked against.

A `Timeline` is a store that watches: who asks for a slot first and when, and when the segment lands. From that, and
from nothing that a switch says, follows who was entitled to write and to deliver at any instant.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from nightmail.journal.keys import slot_of
from nightmail.journal.segment import ADOPTS, CLOSES, YIELDS, Header, decode_header
from nightmail.store.protocol import Put
from sim.checkers import Archive, Dot, Findings, Ledger, audit
from sim.process import current


class Landing(NamedTuple):
    """A segment that came into its slot. `began`: the first attempt to put it, `at`: when it landed (loop's seconds).

    `is_below`: its slot lay below the floor then, where nobody reads any more.
    """

    key: str
    header: Header
    writer: str
    began: float
    at: float
    is_below: bool

    @property
    def right_until(self) -> float:
        """The end of the right to deliver that it gives its writer, without any margin."""
        return self.began + self.header.promise_ms / 1000


@dataclass
class Timeline(Archive):
    """An archive that also knows whose segments they are and when each of them landed."""

    landings: list[Landing] = field(default_factory=list)
    _asked: dict[tuple[str, bytes], tuple[str, float]] = field(default_factory=dict)
    _floors: dict[str, int] = field(default_factory=dict)

    def asked(self, key: str, data: bytes) -> None:
        """A process wants an object created: the first time counts."""
        if slot_of(key) is not None:
            process = current()
            writer = process.name if process is not None else ""
            self._asked.setdefault((key, data), (writer, asyncio.get_running_loop().time()))

    def create(self, key: str, data: bytes) -> Put:
        """As `Archive.create`, with the time of it."""
        created = super().create(key, data)
        if created is Put.CREATED and slot_of(key) is not None:
            header = decode_header(key, data)
            floor = self._floors.get(header.queue, 0)
            now = asyncio.get_running_loop().time()
            writer, began = self._asked.get((key, data), ("", now))
            self.landings.append(Landing(key, header, writer, began, now, header.slot < floor))
            self._floors[header.queue] = max(floor, header.floor)
        return created

    def of_queues(self) -> Iterator[list[Landing]]:
        """For each queue what landed in it, but for what landed below its floor."""
        queues: dict[str, list[Landing]] = defaultdict(list)
        for landing in self.landings:
            if not landing.is_below:
                queues[landing.header.queue].append(landing)
        yield from queues.values()


async def audit_all(ledger: Ledger, timeline: Timeline) -> Findings:
    """As `audit`, with what a timeline knows beyond that."""
    return (await audit(ledger, timeline))._replace(
        hasty=frozenset(hasty(timeline)), stale=frozenset(stale(ledger, timeline)), rivals=frozenset(rivals(timeline))
    )


def hasty(timeline: Timeline, drift: float = 0.05) -> set[str]:
    """Slots by which a queue was adopted although its last segment's promise still ran, and it was not yielded (J7)."""
    found = set()
    for landings in timeline.of_queues():
        for before, landing in itertools.pairwise(landings):
            if not landing.header.flags & ADOPTS or before.header.flags & YIELDS:
                continue
            if landing.at - before.at < before.header.promise_ms / 1000 * (1 - drift):
                found.add(landing.key)
    return found


def stale(ledger: Ledger, timeline: Timeline) -> set[str]:
    """Messages whose final dot came from who was not entitled to it at that instant (J6).

    Entitled is who wrote the last slot, for as long as that promises, counted from when it was first asked for.
    """
    queues = {landings[0].header.queue: landings for landings in timeline.of_queues()}
    return {dot.message_id for dot in ledger.dots if not _is_entitled(dot, queues[dot.queue])}


def _is_entitled(dot: Dot, landings: list[Landing]) -> bool:
    place = bisect.bisect_right(landings, dot.at, key=lambda landing: landing.at)
    last = landings[place - 1] if place else None
    return last is not None and last.writer == dot.sender and dot.at <= last.right_until


def rivals(timeline: Timeline) -> set[str]:
    """Slots that were written by who did not own them: there is one owner for each epoch, and one epoch at a time (J4).

    In the order of landing slots follow one another, each taken once; an epoch begins with an `adopted` record, all of
    it comes from one writer, and nothing comes after a `closed` one (J5). Below the floor land only puts that are
    repeated or late: what landed before, or an `adopted` record whose writer looks once more.
    """
    found = _fresh_below_the_floor(timeline)
    for landings in timeline.of_queues():
        before: Landing | None = None
        for landing in landings:
            if not _may_follow(before, landing):
                found.add(landing.key)
            before = landing
    return found


def _fresh_below_the_floor(timeline: Timeline) -> set[str]:
    found: set[str] = set()
    seen: set[tuple[str, bytes]] = set()
    for landing, landed in zip(timeline.landings, timeline.landed, strict=True):
        if landing.is_below and landed not in seen and not landing.header.flags & ADOPTS:
            found.add(landing.key)
        seen.add(landed)
    return found


def _may_follow(before: Landing | None, landing: Landing) -> bool:
    header = landing.header
    if before is None:
        return header.slot == 0 and bool(header.flags & ADOPTS)
    if header.slot != before.header.slot + 1 or before.header.flags & CLOSES:
        return False
    if header.flags & ADOPTS:
        return header.epoch > before.header.epoch
    return header.epoch == before.header.epoch and landing.writer == before.writer
