"""What the journal's writer gathers for one segment, and what is to follow once that is in place."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from nightmail.journal.arrival import Arrival
from nightmail.journal.records import Accepted, BodyPlace, Codec, Moved, Record
from nightmail.journal.segment import Header, Placed
from nightmail.journal.state import LiveMessage
from nightmail.store.protocol import Buffer

Done = Callable[[], None]


class Entry(msgspec.Struct, frozen=True):
    """A record that waits for its place, what to do once it is durable, and a report that belongs with it (J13)."""

    record: Record
    done: Done | None
    report: Arrival | None = None


class Move(NamedTuple):
    """A message to be carried forward out of `slot`: its envelope, and its body where that lies in the segment."""

    message: LiveMessage
    slot: int
    record: Accepted | Moved
    body: bytes


class Sequel(msgspec.Struct, frozen=True):
    """What a segment that is in place calls for: whom to tell that a record is durable, and what to deliver or void."""

    header: Header
    entries: list[Entry]
    answered: list[tuple[Arrival, bool]]


class Batch:
    """A segment under way: what is in it, and who waits for it."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.encoded: list[bytes] = []
        self.bodies: list[Buffer] = []
        self.bodies_bytes = 0
        self.size_bytes = 0
        self.flags = 0
        self.entries: list[Entry] = []
        self.arrivals: list[Arrival] = []
        self.unanswered: deque[Arrival] = deque()
        self.gives_right = False

    def add(self, record: Record) -> None:
        """Take a record in."""
        data = Codec.encode(record)
        self.records.append(record)
        self.encoded.append(data)
        self.size_bytes += len(data) + 4

    def add_body(self, place: BodyPlace, buffers: list[Buffer] | tuple[Buffer, ...]) -> BodyPlace:
        """Take a body in; where it lies now. One that is an object of its own stays where it is."""
        if place.key:
            return place
        placed = BodyPlace(place.size_bytes, place.crc, self.bodies_bytes)
        self.bodies += buffers
        self.bodies_bytes += place.size_bytes
        self.size_bytes += place.size_bytes
        return placed

    def unclaim(self) -> None:
        """Give back what was reserved for the messages in it."""
        for entry in self.entries:
            if entry.report is not None:
                entry.report.unclaim()
        for arrival in self.arrivals:
            arrival.unclaim()

    def placed(self, header: Header) -> list[Placed]:
        """The records with their places."""
        found = []
        offset = header.records_begin
        for record, data in zip(self.records, self.encoded, strict=True):
            found.append(Placed(record, offset, len(data)))
            offset += len(data)
        return found
