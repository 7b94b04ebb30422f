"""The log stays short: cut from the front, carried forward, and nothing is deleted that anybody may still need."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import google_crc32c
import pytest
from sim.checkers import NOTHING, audit
from sim.letters import Letter
from sim.loop import in_virtual_time, until
from sim.store_faults import Fate
from tests.journal.rig import HELLO, QUEUE, Desk, accepted, adopted, header_in, lay, settle_down, slots_of

from nightmail.journal import compaction
from nightmail.journal.compaction import Compactor, wants_compaction
from nightmail.journal.fetching import Fetcher
from nightmail.journal.keys import body_key, slot_key
from nightmail.journal.reading import replay
from nightmail.journal.records import DELIVERED, BodyPlace, Claimed, Closed, Settled, Settlement, Tick
from nightmail.journal.state import QueueState

MIB = 1 << 20


class Compacted(Desk):
    """A journal with its compactor at work."""

    async def start(self, stale: list[int] | None = None) -> Compactor:
        journal = self.journal
        self.fetcher = Fetcher(self.store, journal.name, journal.state)
        self.compactor = Compactor(self.store, self.clock, journal, self.fetcher, stale or [])
        self.task = asyncio.ensure_future(self.compactor.run())
        return self.compactor

    async def accept(self, *message_ids: str, body: bytes = HELLO) -> None:
        """Accept messages, each in a segment of its own."""
        for message_id in message_ids:
            self.letter(message_id, body=body)
            await settle_down()

    async def end(self, *message_ids: str) -> None:
        """Deliver messages."""
        for message_id in message_ids:
            self.ledger.deliver(message_id, 0)
            self.journal.append(Settled(message_id, (Settlement(0, DELIVERED),)), urgent=True)
            await settle_down()

    @property
    def span(self) -> int:
        return self.journal.next_slot - self.journal.floor

    def bound_bytes(self) -> int:
        return 2 * self.journal.state.live_bytes + 64 * MIB

    def bound_slots(self) -> int:
        return 4096 + 4 * self.journal.state.live_bytes // MIB


@contextmanager
def scaled_down(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same bounds, a thousand times smaller, so that a test reaches them."""
    monkeypatch.setattr(compaction, "_SPARE_BYTES", 64 << 10)
    monkeypatch.setattr(compaction, "_SPARE_SLOTS", 64)
    yield


@in_virtual_time
async def test_what_lies_below_a_floor_goes_no_sooner_than_a_minute_after_it_was_known() -> None:
    desk = Compacted()
    await desk.open()
    await desk.start()
    await desk.accept("M1", "M2")
    await desk.end("M1", "M2")
    await until(lambda: desk.journal.floor > 3)
    known = desk.clock.elapsed()
    await asyncio.sleep(59)
    assert {2, 3} <= set(slots_of(desk.store))
    await until(lambda: not {2, 3} & set(slots_of(desk.store)), within_s=10)
    assert desk.clock.elapsed() - known >= 60
    assert 0 in slots_of(desk.store), "adopted records stay for good"
    assert await audit(desk.ledger, desk.archive) == NOTHING


@in_virtual_time
async def test_a_store_that_fails_is_asked_again_to_delete() -> None:
    desk = Compacted()
    await desk.open()
    await desk.start()
    await desk.accept("M1")
    await desk.end("M1")
    for _ in range(3):
        desk.store.decide_next("delete", Fate.FAILED)
    await asyncio.sleep(100)
    assert not {1, 2} & set(slots_of(desk.store))


@in_virtual_time
async def test_the_tail_and_the_kept_slots_stay() -> None:
    desk = Compacted()
    await desk.open()
    await desk.start()
    await asyncio.sleep(10_000)
    slots = slots_of(desk.store)
    assert slots[0] == 0
    assert slots[-1] == desk.journal.next_slot - 1
    assert len(slots) < 30


@in_virtual_time
async def test_a_long_waiting_message_is_carried_forward_and_the_bounds_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with scaled_down(monkeypatch):
        desk = Compacted()
        await desk.open()
        await desk.start()
        await desk.accept("OLD")
        for n in range(600):
            await desk.accept(f"M{n}", body=b"x" * 1000)
            await desk.end(f"M{n}")
            await asyncio.sleep(0.5)  # the bounds are scaled down, the compactor's period is not
            state = desk.journal.state
            assert state.log_bytes < 2 * state.live_bytes + (64 << 10)
            assert desk.span < 64 + 4 * state.live_bytes // MIB
    assert list(desk.journal.state.messages) == ["OLD"]
    assert desk.journal.state.messages["OLD"].slot > 900
    found = await replay(desk.store, QUEUE)
    assert list(found.state.messages) == ["OLD"]
    record = await desk.fetcher.record(found.state.messages["OLD"])
    assert await desk.fetcher.body(desk.journal.state.messages["OLD"], record).read(0, 1 << 20) == HELLO
    assert await audit(desk.ledger, desk.archive) == NOTHING


@in_virtual_time
async def test_a_message_that_is_being_delivered_keeps_its_state_while_it_is_carried_forward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with scaled_down(monkeypatch):
        desk = Compacted()
        await desk.open()
        await desk.start()
        await desk.accept("M1")
        message = desk.journal.state.messages["M1"]
        desk.journal.append(Claimed("M1", (0,)), urgent=True)
        await settle_down()
        body = desk.fetcher.body(message, await desk.fetcher.record(message))
        for _ in range(100):
            desk.journal.append(Tick(), urgent=True)
            await asyncio.sleep(0.1)
    assert message.slot > 1
    assert desk.journal.state.messages["M1"] is message
    assert message.claimed == (0,)
    assert await body.read(0, 1 << 20) == HELLO, "who began to read where it lay may go on for a minute"
    found = await replay(desk.store, QUEUE)
    assert found.state.messages["M1"].claimed == (0,)


@in_virtual_time
async def test_a_message_that_cannot_be_read_is_kept_and_nothing_is_moved_in_vain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with scaled_down(monkeypatch):
        desk = Compacted()
        await desk.open()
        await desk.start()
        await desk.accept("BAD", "GOOD")
        key = slot_key(QUEUE, 1)
        desk.archive.contents[key] = desk.archive.contents[key][:-1] + b"?"
        for _ in range(100):
            desk.journal.append(Tick(), urgent=True)
            await asyncio.sleep(0.01)
        written = desk.archive.used_bytes
        await asyncio.sleep(100)
    assert slots_of(desk.store)[:3] == [0, 1, 2]
    assert desk.journal.floor == 1
    assert desk.archive.used_bytes - written < 50 * 400, "nothing but ticks"
    assert desk.journal.state.messages["GOOD"].slot == 2


@in_virtual_time
async def test_large_bodies_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with scaled_down(monkeypatch):
        desk = Compacted()
        await desk.open()
        await desk.start()
        key = body_key(QUEUE, "BIG")
        desk.archive.contents[key] = b"large body"
        place = BodyPlace(10, google_crc32c.value(b"large body"), 0, key)
        desk.journal.accept(Letter("BIG", desk.ledger, place=place))
        for _ in range(100):
            desk.journal.append(Tick(), urgent=True)
            await asyncio.sleep(0.1)
        message = desk.journal.state.messages["BIG"]
        assert message.slot > 1
        record = await desk.fetcher.record(message)
        assert record.body == place
        assert await desk.fetcher.body(message, record).read(0, 100) == b"large body"


@in_virtual_time
async def test_the_body_of_a_finished_message_goes_a_minute_later() -> None:
    desk = Compacted()
    await desk.open()
    await desk.start()
    key = body_key(QUEUE, "BIG")
    desk.archive.contents[key] = b"large body"
    desk.journal.state.finished_aside.append("BIG")
    await asyncio.sleep(59)
    assert key in desk.archive.contents
    await asyncio.sleep(5)
    assert key not in desk.archive.contents


@in_virtual_time
async def test_an_adopter_sweeps_what_the_owner_before_it_left() -> None:
    desk = Compacted()
    lay(desk.store, 0, adopted())
    lay(desk.store, 1, Tick())
    lay(desk.store, 2, Tick())
    desk.archive.contents[slot_key(QUEUE, 3)] = b"torn"
    half = lay(desk.store, 4, Tick())
    desk.archive.contents[half] = desk.archive.contents[half][:-1] + b"?"
    live, dead = body_key(QUEUE, "LIVE"), body_key(QUEUE, "DEAD")
    lay(desk.store, 5, accepted("LIVE", key=live))
    lay(desk.store, 6, Tick(), floor=5)
    desk.archive.contents |= {live: b"", dead: b""}
    owned = await desk.adopter("mx2").adopt(QUEUE, await replay(desk.store, QUEUE))
    assert owned is not None
    await desk.open(owned)
    await desk.start(owned.stale)
    await asyncio.sleep(59)
    assert slots_of(desk.store)[:7] == list(range(7))
    await asyncio.sleep(10)
    left = slots_of(desk.store)
    assert left[:4] == [0, 3, 4, 5], "adopted, unreadable, half unreadable, live"
    assert live in desk.archive.contents
    assert dead not in desk.archive.contents


@in_virtual_time
async def test_a_generation_just_begun_leaves_bodies_alone_that_are_still_on_their_way() -> None:
    desk = Compacted()
    await desk.open()
    key = body_key(QUEUE, "COMING")
    desk.archive.contents[key] = b""
    await desk.start()
    await asyncio.sleep(200)
    assert key in desk.archive.contents


@in_virtual_time
async def test_a_fenced_owner_deletes_nothing_more() -> None:
    desk = Compacted()
    await desk.open()
    await desk.start()
    await desk.accept("M1")
    await desk.end("M1")
    await until(lambda: desk.journal.floor > 2)
    lay(desk.store, desk.journal.next_slot, adopted(2, "mx2"), epoch=2)
    await until(lambda: desk.journal.is_fenced)
    await desk.task
    before = slots_of(desk.store)
    await asyncio.sleep(200)
    assert slots_of(desk.store) == before


def test_a_log_is_compacted_before_it_reaches_its_bounds() -> None:
    state = QueueState()
    assert not wants_compaction(state, 0, 3_000)
    assert wants_compaction(state, 0, 3_100)
    assert not wants_compaction(state, 1_000, 4_000)
    state.log_bytes = 49 * MIB
    assert wants_compaction(state, 0, 10)
    state.live_bytes = 20 * MIB
    assert not wants_compaction(state, 0, 10)
    assert not wants_compaction(state, 0, 3_130)
    state.log_bytes = 79 * MIB
    assert wants_compaction(state, 0, 10)


@in_virtual_time
async def test_a_closed_log_keeps_its_close() -> None:
    desk = Compacted()
    await desk.open()
    await desk.journal.stop(Closed())
    assert header_in(desk.store, 1).is_kept
    assert (await replay(desk.store, QUEUE)).state.is_closed
