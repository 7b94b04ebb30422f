"""Reading journals: which queues there are, where a log ends, and what it adds up to (J4, J10, J14)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

from nightmail.errors import Corrupt
from nightmail.journal.keys import QUEUES, log_prefix, queue_of, slot_key, slot_of
from nightmail.journal.records import Adopted
from nightmail.journal.segment import HEADER_BYTES, Header, Placed, decode_header, decode_records
from nightmail.journal.state import QueueState
from nightmail.store.protocol import NotFound, Store

_FIRST_READ_BYTES = 16 << 10
_READ_AT_ONCE = 64
_MISSING_LOOKS = 3
LONGEST_S = 600.0
"""The longest promise that any journal may have made."""


class Segment(NamedTuple):
    """A segment's header and records, without its bodies."""

    header: Header
    records: list[Placed]


class Replayed(NamedTuple):
    """A log as it was found: its last slot (-1 for none), its sum, and what could not be read.

    `promise_s` is the promise of its tail, or the longest there is where that can't be read. `stale` are the slots
    below the floor that nobody deleted yet, and those never to be deleted (J5).
    """

    tail: int
    floor: int
    epoch: int
    promise_s: float
    state: QueueState
    stale: list[int]
    damage: list[Corrupt]


async def list_queues(store: Store, prefix: str = "") -> list[str]:
    """The names of all queues that begin with `prefix`, in the order of their keys. Raises: StoreUnavailable."""
    names: list[str] = []
    page: list[str]
    after = f"{QUEUES}{prefix}"
    while page := await _first_page(store, after):
        for name in dict.fromkeys(map(queue_of, page)):
            if not name.startswith(prefix):
                return names
            names.append(name)
        after = f"{QUEUES}{names[-1]}/\x7f"
    return names


async def _first_page(store: Store, after: str) -> list[str]:
    """The first keys of queues beyond `after`. Raises: StoreUnavailable."""
    async with aclosing(store.list_after(QUEUES, after)) as pages:
        return await anext(pages, [])


async def list_slots(store: Store, queue: str, after: int = -1) -> list[int]:
    """The slots of `queue` beyond `after` that are taken, in order. Raises: StoreUnavailable."""
    start = slot_key(queue, after) if after >= 0 else ""
    async with aclosing(store.list_after(log_prefix(queue), start)) as pages:
        return [slot async for page in pages for key in page if (slot := slot_of(key)) is not None]


async def read_header(store: Store, queue: str, slot: int) -> Header:
    """The header in `slot`. Raises: NotFound, Corrupt, StoreUnavailable."""
    key = slot_key(queue, slot)
    return decode_header(key, await store.get_range(key, 0, HEADER_BYTES))


async def read_segment(store: Store, queue: str, slot: int) -> Segment:
    """The record part in `slot`. Raises: NotFound, Corrupt, StoreUnavailable."""
    key = slot_key(queue, slot)
    return await _read_from(store, queue, slot, await store.get_range(key, 0, _FIRST_READ_BYTES))


async def _read_from(store: Store, queue: str, slot: int, data: bytes) -> Segment:
    """The record part in `slot`, of which `data` is the beginning. Raises: NotFound, Corrupt, StoreUnavailable."""
    key = slot_key(queue, slot)
    header = decode_header(key, data)
    if header.slot != slot or header.queue != queue:
        raise Corrupt(key, 0, f"belongs to slot {header.slot} of queue {header.queue}")
    missing = header.bodies_begin - len(data)
    if missing > 0 and len(data) == _FIRST_READ_BYTES:
        data += await store.get_range(key, len(data), missing)
    return Segment(header, decode_records(key, header, data[HEADER_BYTES : header.bodies_begin]))


async def replay(store: Store, queue: str) -> Replayed:
    """Read the log of `queue` from its floor to its tail. Raises: StoreUnavailable."""
    slots = await list_slots(store, queue)
    damage: list[Corrupt] = []
    state = QueueState()
    if not slots:
        return Replayed(-1, 0, 0, 0.0, state, [], damage)
    tail = slots[-1]
    last = await _last_readable(store, queue, slots)
    floor, epoch = (last.floor, last.epoch) if last else (slots[0], 0)
    # What the tail promises only the tail says: its neighbour may have been busy, and the tail an idle tick (J7).
    promise_s = last.promise_ms / 1000 if last and last.slot == tail else LONGEST_S
    slots = await _without_holes(store, queue, slots, floor, tail)
    expected, unread = floor, 0
    async with aclosing(read_in_order(store, queue, [slot for slot in slots if floor <= slot <= tail])) as segments:
        async for slot, found in segments:
            if slot > expected:
                unread += _doubt(state, damage, _missing(queue, expected, slot), slot - expected)
            expected = slot + 1
            if isinstance(found, Corrupt):
                unread += _doubt(state, damage, found)
            else:
                epoch = max(epoch, found.header.epoch)
                state.apply(found.header, found.records)
    if expected <= tail:
        unread += _doubt(state, damage, _missing(queue, expected, tail + 1), tail + 1 - expected)
    stale = [slot for slot in slots if slot < floor]
    # Each slot that wasn't read may have been an adoption.
    return Replayed(tail, floor, epoch + unread, promise_s, state, stale, damage)


async def catch_up(store: Store, queue: str, found: Replayed) -> Replayed:
    """What `replay` would find now, by reading only what came after `found`, whose state it goes on with.

    Raises: StoreUnavailable.
    """
    slots = await list_slots(store, queue, after=found.tail)
    if not slots:
        return found
    if slots[0] != found.tail + 1 or len(slots) != slots[-1] - found.tail:
        return await replay(store, queue)  # the log was cut meanwhile, or has a hole
    last: Header | None = None
    async with aclosing(read_in_order(store, queue, slots)) as segments:
        async for _, segment in segments:
            if isinstance(segment, Corrupt):
                return await replay(store, queue)
            last = segment.header
            found.state.apply(last, segment.records)
    if last is None:
        return found
    stale = [*found.stale, *found.state.cut(last.floor)]
    epoch = max(found.epoch, last.epoch)
    return Replayed(last.slot, last.floor, epoch, last.promise_ms / 1000, found.state, stale, found.damage)


def _doubt(state: QueueState, damage: list[Corrupt], fault: Corrupt, slots: int = 1) -> int:
    """Take note of `slots` that can't be read; what was open before them is in doubt (J14)."""
    damage.append(fault)
    state.doubt_everything()
    return slots


def _missing(queue: str, first: int, end: int) -> Corrupt:
    what = "is missing above the floor" if end - first == 1 else f"begins a gap of {end - first} slots above the floor"
    return Corrupt(slot_key(queue, first), 0, what)


async def find_owner(store: Store, queue: str, found: Replayed) -> Adopted | None:
    """The last `adopted` record of a log, above its floor or kept below. Raises: StoreUnavailable."""
    if found.state.owner is not None:
        return found.state.owner
    for slot in reversed(found.stale):
        try:
            segment = await read_segment(store, queue, slot)
        except (Corrupt, NotFound):
            continue
        for record in segment.records:
            if isinstance(record.record, Adopted):
                return record.record
    return None


async def _last_readable(store: Store, queue: str, slots: list[int]) -> Header | None:
    """The last header that can be read: an older floor only means that more is read."""
    for slot in reversed(slots):
        try:
            return await read_header(store, queue, slot)
        except (Corrupt, NotFound):
            continue
    return None


async def _without_holes(store: Store, queue: str, slots: list[int], floor: int, tail: int) -> list[int]:
    """The slots up to `tail`, listed again where one above the floor seemed to be missing (J14)."""
    for _ in range(_MISSING_LOOKS):
        above = sum(1 for slot in slots if floor <= slot <= tail)
        if above == tail - floor + 1:
            break
        slots = [slot for slot in await list_slots(store, queue) if slot <= tail]
    return slots


async def read_in_order(
    store: Store, queue: str, slots: list[int]
) -> AsyncGenerator[tuple[int, Segment | Corrupt], None]:
    """The segments in these slots; while some are looked at, the next ones are on their way."""
    batches = [slots[start : start + _READ_AT_ONCE] for start in range(0, len(slots), _READ_AT_ONCE)]
    coming = _begin_reading(store, queue, batches[0]) if batches else None
    try:
        for number, batch in enumerate(batches):
            heads = await coming if coming is not None else []
            coming = _begin_reading(store, queue, batches[number + 1]) if number + 1 < len(batches) else None
            for slot, head in zip(batch, heads, strict=True):
                yield slot, await _segment_or_damage(store, queue, slot, head)
    finally:
        if coming is not None:
            coming.cancel()


def _begin_reading(store: Store, queue: str, slots: list[int]) -> asyncio.Task[list[bytes | None]]:
    keys = [slot_key(queue, slot) for slot in slots]
    reading = asyncio.get_running_loop().create_task(store.get_heads(keys, _FIRST_READ_BYTES))
    # Whoever comes to need it hears of a fault; where an earlier one ended the reading nobody does.
    reading.add_done_callback(lambda task: task.cancelled() or task.exception())
    return reading


async def _segment_or_damage(store: Store, queue: str, slot: int, head: bytes | None) -> Segment | Corrupt:
    if head is None:
        return Corrupt(slot_key(queue, slot), 0, "vanished while it was read")
    try:
        return await _read_from(store, queue, slot, head)
    except Corrupt as damage:
        return damage
    except NotFound:
        return Corrupt(slot_key(queue, slot), 0, "vanished while it was read")
