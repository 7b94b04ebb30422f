"""A log is read whole: holes are looked at again, damage is named, and what it may have hidden is in doubt."""

from __future__ import annotations

import asyncio

import pytest
from sim.loop import in_virtual_time
from sim.store import Objects, SimulatedStore
from sim.store_faults import Fate
from tests.journal.rig import HELLO, QUEUE, accepted, adopted, lay, settle_down

from nightmail.errors import Corrupt, StoreUnavailable
from nightmail.journal.keys import body_key, slot_key
from nightmail.journal.reading import find_owner, list_queues, list_slots, read_header, read_segment, replay
from nightmail.journal.records import DELIVERED, Claimed, Closed, Settled, Settlement, Tick, Voided, Yielded
from nightmail.journal.segment import HEADER_BYTES
from nightmail.store.protocol import NotFound


def log_of_five() -> SimulatedStore:
    """Two messages, one of them delivered."""
    store = SimulatedStore()
    lay(store, 0, adopted())
    lay(store, 1, accepted("M1", recipients=2), bodies=[HELLO])
    lay(store, 2, accepted("M2", claimed=(0,)), bodies=[HELLO], floor=1)
    lay(store, 3, Settled("M2", (Settlement(0, DELIVERED),)), floor=1)
    lay(store, 4, Tick(), floor=1, promise_ms=10_000)
    return store


def spoil(store: SimulatedStore, slot: int) -> None:
    """Turn one bit of the last record over."""
    key = slot_key(QUEUE, slot)
    data = bytearray(store.objects.contents[key])
    data[HEADER_BYTES] ^= 1
    store.objects.contents[key] = bytes(data)


@in_virtual_time
async def test_a_log_adds_up_from_its_floor() -> None:
    found = await replay(log_of_five(), QUEUE)
    assert (found.tail, found.floor, found.epoch, found.promise_s) == (4, 1, 1, 10.0)
    assert list(found.state.messages) == ["M1"]
    assert found.stale == [0]
    assert found.damage == []


@in_virtual_time
async def test_no_log_is_an_empty_one() -> None:
    found = await replay(SimulatedStore(), QUEUE)
    assert found.tail == -1
    assert not found.state.messages


@in_virtual_time
async def test_what_lands_below_the_floor_is_ignored() -> None:
    store = log_of_five()
    lay(store, 5, Voided("M1"), floor=1)
    lay(store, 6, Tick(), floor=6)
    del store.objects.contents[slot_key(QUEUE, 2)]
    lay(store, 2, accepted("LATE"), floor=0)
    found = await replay(store, QUEUE)
    assert not found.state.messages
    assert found.stale == [0, 1, 2, 3, 4, 5]


@in_virtual_time
async def test_an_unreadable_slot_is_named_and_what_was_open_before_it_is_in_doubt() -> None:
    store = log_of_five()
    spoil(store, 3)
    lay(store, 5, accepted("M3"), floor=1)
    found = await replay(store, QUEUE)
    assert [fault.key for fault in found.damage] == [slot_key(QUEUE, 3)]
    claimed = {message.id: message.claimed for message in found.state.messages.values()}
    assert claimed == {"M1": (0, 1), "M2": (0,), "M3": ()}
    assert found.epoch == 2, "the slot may have held an adoption"


@in_virtual_time
async def test_a_slot_that_stays_missing_is_damage_too() -> None:
    store = log_of_five()
    del store.objects.contents[slot_key(QUEUE, 3)]
    found = await replay(store, QUEUE)
    assert [(fault.key, fault.what) for fault in found.damage] == [(slot_key(QUEUE, 3), "is missing above the floor")]
    assert found.state.messages["M1"].claimed == (0, 1)


@in_virtual_time
async def test_a_gap_however_wide_is_one_damage_and_costs_nothing() -> None:
    store = log_of_five()
    lay(store, 10**18, accepted("M9"), floor=1)
    found = await replay(store, QUEUE)
    assert [fault.key for fault in found.damage] == [slot_key(QUEUE, 5)]
    assert found.epoch == 1 + 10**18 - 5, "each of the slots may have been an adoption"
    assert found.state.messages["M1"].claimed == (0, 1)


@in_virtual_time
async def test_a_tail_that_vanishes_is_damage() -> None:
    store = log_of_five()
    del store.objects.contents[slot_key(QUEUE, 2)]
    first, second = store.hold_next("list_after"), store.hold_next("list_after")
    reading = asyncio.ensure_future(replay(store, QUEUE))
    await first.reached()
    first.answer()
    await second.reached()
    second.answer()
    listing = store.hold_next("list_after")
    await listing.reached()
    del store.objects.contents[slot_key(QUEUE, 4)]
    listing.answer()
    found = await reading
    assert found.tail == 4
    assert [fault.key for fault in found.damage] == [slot_key(QUEUE, 2), slot_key(QUEUE, 4)]


@in_virtual_time
async def test_a_slot_that_only_seemed_to_be_missing_is_listed_again() -> None:
    store = log_of_five()
    missing = store.objects.contents.pop(slot_key(QUEUE, 3))
    listing = store.hold_next("list_after")
    reading = asyncio.ensure_future(replay(store, QUEUE))
    await listing.reached()
    listing.land()
    store.objects.contents[slot_key(QUEUE, 3)] = missing
    listing.answer()
    found = await reading
    assert found.damage == []
    assert list(found.state.messages) == ["M1"]


@in_virtual_time
async def test_an_unreadable_tail_leaves_the_floor_to_the_one_before() -> None:
    store = log_of_five()
    store.objects.contents[slot_key(QUEUE, 4)] = b"\0" * 4096
    found = await replay(store, QUEUE)
    assert (found.tail, found.floor) == (4, 1)
    assert found.promise_s == 600.0, "its neighbour's promise may be shorter than its own (J7)"
    assert len(found.damage) == 1
    assert found.state.messages["M1"].claimed == (0, 1)


@in_virtual_time
async def test_where_nothing_can_be_read_nothing_is_hurried() -> None:
    store = SimulatedStore()
    for slot in (3, 4):
        store.objects.contents[slot_key(QUEUE, slot)] = b"torn"
    found = await replay(store, QUEUE)
    assert (found.tail, found.floor, len(found.damage)) == (4, 3, 2)
    assert found.promise_s == 600.0


@in_virtual_time
async def test_a_segment_of_another_slot_or_queue_is_corrupt() -> None:
    store = log_of_five()
    contents = store.objects.contents
    contents[slot_key(QUEUE, 5)] = contents[slot_key(QUEUE, 4)]
    contents[slot_key("mx2.0.1", 4)] = contents[slot_key(QUEUE, 4)]
    with pytest.raises(Corrupt, match="belongs to slot 4"):
        await read_segment(store, QUEUE, 5)
    with pytest.raises(Corrupt, match=r"queue mx1\.0\.1"):
        await read_segment(store, "mx2.0.1", 4)


@in_virtual_time
async def test_a_slot_that_vanishes_while_it_is_read_is_damage() -> None:
    store = log_of_five()
    read = store.hold_next("get_range", slot_key(QUEUE, 3))
    reading = asyncio.ensure_future(replay(store, QUEUE))
    await read.reached()
    del store.objects.contents[slot_key(QUEUE, 3)]
    read.answer()
    assert [fault.what for fault in (await reading).damage] == ["vanished while it was read"]


@in_virtual_time
async def test_many_records_are_read_in_two_steps_and_the_bodies_not_at_all() -> None:
    store = SimulatedStore()
    records = [accepted(f"M{n}", recipients=20) for n in range(200)]
    key = lay(store, 0, *records, bodies=[b"x" * 100_000])
    found = await read_segment(store, QUEUE, 0)
    assert [placed.record for placed in found.records] == records
    for placed in found.records:
        assert store.objects.contents[key][placed.offset : placed.offset + placed.size]
    assert store.objects.count("get_range") == 2


@in_virtual_time
async def test_many_slots_are_read_in_their_order() -> None:
    store = SimulatedStore(page_size=7)
    for slot in range(100):
        lay(store, slot, accepted(f"M{slot}"))
    found = await replay(store, QUEUE)
    assert list(found.state.messages) == [f"M{slot}" for slot in range(100)]


@in_virtual_time
async def test_a_store_out_of_reach_is_told_and_nothing_is_concluded() -> None:
    store = log_of_five()
    store.decide_next("get_range", Fate.FAILED, slot_key(QUEUE, 3))
    with pytest.raises(StoreUnavailable):
        await replay(store, QUEUE)
    store.cut()
    with pytest.raises(StoreUnavailable):
        await replay(store, QUEUE)
    await settle_down()


@in_virtual_time
async def test_an_open_claim_a_yield_and_a_close_are_found() -> None:
    store = log_of_five()
    lay(store, 5, Claimed("M1", (1,)), Yielded(), floor=1)
    found = await replay(store, QUEUE)
    assert found.state.is_yielded
    assert found.state.messages["M1"].claimed == (1,)
    lay(store, 6, Closed(), floor=6)
    assert (await replay(store, QUEUE)).state.is_closed


@in_virtual_time
async def test_the_last_adoption_is_found_above_the_floor_or_kept_below() -> None:
    store = log_of_five()
    lay(store, 5, adopted(2, "mx2"), epoch=2, floor=1)
    found = await replay(store, QUEUE)
    assert (await find_owner(store, QUEUE, found)) == adopted(2, "mx2")
    lay(store, 6, Voided("M1"), epoch=2, floor=1)
    lay(store, 7, Tick(), epoch=2, floor=7)
    store.objects.contents[slot_key(QUEUE, 4)] = b"torn"
    found = await replay(store, QUEUE)
    assert found.state.owner is None
    assert (await find_owner(store, QUEUE, found)) == adopted(2, "mx2")
    assert await find_owner(store, "none", await replay(store, "none")) is None


@in_virtual_time
async def test_queues_are_found_by_what_lies_in_the_store() -> None:
    store = SimulatedStore(Objects(), page_size=3)
    names = [
        f"{server}.{switch}.{generation}" for server in ("a", "b-1") for switch in (0, 10) for generation in (1, 2)
    ]
    for name in names:
        for slot in range(5):
            lay(store, slot, Tick(), queue=name)
        store.objects.contents[body_key(name, "M1")] = b"body"
    assert await list_queues(store) == sorted(names)
    assert await list_queues(store, "b-1.") == [name for name in names if name.startswith("b-1.")]
    assert await list_queues(store, "a.1") == ["a.10.1", "a.10.2"]
    assert await list_queues(store, "c.") == []


@in_virtual_time
async def test_slots_are_listed_after_any_slot_and_strange_keys_are_no_slots() -> None:
    store = log_of_five()
    store.objects.contents[f"queues/{QUEUE}/log/note"] = b"?"
    assert await list_slots(store, QUEUE) == [0, 1, 2, 3, 4]
    assert await list_slots(store, QUEUE, after=2) == [3, 4]
    assert await list_slots(store, QUEUE, after=4) == []


@in_virtual_time
async def test_a_header_is_read_by_itself() -> None:
    store = log_of_five()
    assert (await read_header(store, QUEUE, 4)).promise_ms == 10_000
    with pytest.raises(NotFound):
        await read_header(store, QUEUE, 9)
