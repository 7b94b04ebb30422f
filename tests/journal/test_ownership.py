"""Whoever writes the next slot owns the queue, and finds out if it is somebody else."""

from __future__ import annotations

import asyncio

import pytest
from sim.checkers import Archive
from sim.loop import in_virtual_time
from sim.store import SimulatedStore
from sim.store_faults import Fate
from sim.world import SeededRandomness, VirtualClock
from tests.journal.rig import (
    HELLO,
    QUEUE,
    accepted,
    adopted,
    header_in,
    identity,
    lay,
    records_in,
    settle_down,
    slots_of,
)

from nightmail.errors import Fenced, StoreUnavailable
from nightmail.journal.keys import slot_key
from nightmail.journal.ownership import Adopter, Ownership, put_slot
from nightmail.journal.reading import replay
from nightmail.journal.records import Closed, Tick
from nightmail.store.protocol import Put, PutBroken, PutFailed, PutUnknown

KEY = slot_key(QUEUE, 7)
OURS = [b"our ", b"segment"]


class Process:
    """Somebody who adopts, with a way of its own to the shared objects."""

    def __init__(self, archive: Archive, server: str = "mx1", seed: int = 1) -> None:
        self.store = SimulatedStore(archive)
        self.adopter = Adopter(
            self.store, VirtualClock(), SeededRandomness(seed), identity(server, f"life-{seed}"), promise_ms=3000
        )

    async def adopt(self) -> Ownership | None:
        return await self.adopter.adopt(QUEUE, await replay(self.store, QUEUE))


def old_log() -> Archive:
    """A log whose owner is gone, with one message."""
    archive = Archive()
    store = SimulatedStore(archive)
    lay(store, 0, adopted())
    lay(store, 1, accepted("M1"), bodies=[HELLO])
    return archive


@in_virtual_time
async def test_a_put_that_succeeds_costs_one_call() -> None:
    store = SimulatedStore()
    await put_slot(store, KEY, OURS)
    assert store.objects.count("put_new") == 1
    assert store.objects.count("get_range") == 0


@in_virtual_time
async def test_a_lost_answer_is_found_out_by_putting_the_same_bytes_again() -> None:
    for fate in (Fate.LOST_AFTER_LANDING, Fate.LOST_BEFORE_LANDING):
        store = SimulatedStore()
        store.decide_next("put_new", fate)
        await put_slot(store, KEY, OURS)
        assert store.objects.contents[KEY] == b"our segment"


@in_virtual_time
async def test_anybody_elses_bytes_in_the_slot_mean_fenced() -> None:
    for theirs in (b"", b"their segment", b"our segmen", b"our segment "):
        store = SimulatedStore()
        store.objects.contents[KEY] = theirs
        with pytest.raises(Fenced, match="another owner"):
            await put_slot(store, KEY, OURS)
        assert store.objects.contents[KEY] == theirs


@in_virtual_time
async def test_a_slot_that_was_taken_and_is_gone_means_fenced() -> None:
    store = SimulatedStore()
    store.objects.contents[KEY] = b"x"
    read = store.hold_next("get_range")
    putting = asyncio.ensure_future(put_slot(store, KEY, OURS))
    await read.reached()
    del store.objects.contents[KEY]
    read.answer()
    with pytest.raises(Fenced, match="is gone"):
        await putting


@in_virtual_time
async def test_a_taken_slot_that_cannot_be_read_stays_unknown_until_it_can() -> None:
    store = SimulatedStore()
    store.objects.contents[KEY] = b"our segment"
    for _ in range(5):
        store.decide_next("get_range", Fate.FAILED)
    await put_slot(store, KEY, OURS)
    assert store.objects.count("put_new", Put.EXISTS) == 6


@in_virtual_time
async def test_a_put_known_to_have_failed_is_told_at_once() -> None:
    store = SimulatedStore()
    store.decide_next("put_new", Fate.FAILED)
    with pytest.raises(PutFailed):
        await put_slot(store, KEY, OURS)
    assert not store.objects.contents


@in_virtual_time
async def test_after_an_unknown_outcome_a_failure_proves_nothing() -> None:
    store = SimulatedStore()
    late = store.hold_next("put_new")
    putting = asyncio.ensure_future(put_slot(store, KEY, OURS))
    await late.reached()
    for _ in range(3):
        store.decide_next("put_new", Fate.FAILED)
    late.lose()
    await asyncio.sleep(0.2)
    late.land()
    await putting
    assert store.objects.contents[KEY] == b"our segment"


@in_virtual_time
async def test_after_a_slot_was_seen_taken_a_failure_proves_nothing() -> None:
    store = SimulatedStore()
    store.objects.contents[KEY] = b"our segment"
    store.decide_next("get_range", Fate.FAILED)
    putting = asyncio.ensure_future(put_slot(store, KEY, OURS))
    await settle_down()
    store.decide_next("put_new", Fate.FAILED)
    await putting


@in_virtual_time
async def test_a_put_of_doubtful_durability_is_not_repeated() -> None:
    store = SimulatedStore()
    store.decide_next("put_new", Fate.BROKEN)
    with pytest.raises(PutBroken):
        await put_slot(store, KEY, OURS)
    assert store.objects.count("put_new") == 1


@in_virtual_time
async def test_a_store_out_of_reach_is_asked_again_more_and_more_slowly() -> None:
    store = SimulatedStore()
    store.cut()
    putting = asyncio.ensure_future(put_slot(store, KEY, OURS))
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(3_600)
    store.restore()
    await putting
    assert asyncio.get_running_loop().time() - began < 3_602


@in_virtual_time
async def test_a_first_generation_begins_in_the_first_slot() -> None:
    process = Process(Archive())
    owned = await process.adopter.open_generation("mx1", 0)
    assert (owned.queue, owned.next_slot, owned.epoch, owned.floor) == ("mx1.0.1", 1, 1, 0)
    assert await records_in(process.store, 0) == [identity("mx1", "life-1").adopted(1)]
    header = header_in(process.store, 0)
    assert header.is_kept
    assert header.promise_ms == 3000
    assert list(owned.state.slots) == [0]


@in_virtual_time
async def test_a_generation_number_is_never_used_again() -> None:
    archive = Archive()
    process = Process(archive)
    for generation in (1, 2, 3):
        assert (await process.adopter.open_generation("mx1", 0)).queue == f"mx1.0.{generation}"
    assert (await process.adopter.open_generation("mx1", 1)).queue == "mx1.1.1"
    assert (await process.adopter.open_generation("mx10", 0)).queue == "mx10.0.1"
    assert (await process.adopter.open_generation("mx1", 0)).queue == "mx1.0.4"


@in_virtual_time
async def test_who_opens_at_the_same_time_gets_another_number() -> None:
    archive = Archive()
    processes = [Process(archive, seed=seed) for seed in range(8)]
    owned = await asyncio.gather(*(process.adopter.open_generation("mx1", 0) for process in processes))
    assert sorted(each.queue for each in owned) == [f"mx1.0.{n}" for n in range(1, 9)]


@in_virtual_time
async def test_a_generation_whose_answer_was_lost_is_ours_all_the_same() -> None:
    process = Process(Archive())
    process.store.decide_next("put_new", Fate.LOST_AFTER_LANDING)
    assert (await process.adopter.open_generation("mx1", 0)).queue == "mx1.0.1"


@in_virtual_time
async def test_a_store_out_of_reach_opens_nothing() -> None:
    process = Process(Archive())
    process.store.cut()
    with pytest.raises(StoreUnavailable):
        await process.adopter.open_generation("mx1", 0)
    process.store.restore()
    process.store.decide_next("put_new", Fate.FAILED)
    with pytest.raises(PutFailed):
        await process.adopter.open_generation("mx1", 0)


@in_virtual_time
async def test_an_adopter_owns_the_slot_after_the_tail_in_the_next_epoch() -> None:
    archive = old_log()
    process = Process(archive, "mx2")
    owned = await process.adopt()
    assert owned is not None
    assert (owned.next_slot, owned.epoch, owned.floor) == (3, 2, 0)
    assert list(owned.state.messages) == ["M1"]
    assert await records_in(process.store, 2) == [identity("mx2", "life-1").adopted(2)]
    assert header_in(process.store, 2).epoch == 2


@in_virtual_time
async def test_of_many_adopters_exactly_one_wins() -> None:
    archive = old_log()
    processes = [Process(archive, f"mx{n}", seed=n) for n in range(2, 8)]
    owned = await asyncio.gather(*(process.adopt() for process in processes))
    assert sum(each is not None for each in owned) == 1
    assert slots_of(processes[0].store) == [0, 1, 2]


@in_virtual_time
async def test_the_owner_who_lives_wins_against_its_adopter() -> None:
    archive = old_log()
    process = Process(archive, "mx2")
    found = await replay(process.store, QUEUE)
    lay(process.store, 2, Tick())
    assert await process.adopter.adopt(QUEUE, found) is None
    assert (await process.adopt()) is not None


@in_virtual_time
async def test_an_adopter_who_measured_long_ago_finds_its_slot_open_and_owns_nothing() -> None:
    archive = old_log()
    late = Process(archive, "mx2")
    found = await replay(late.store, QUEUE)
    store = SimulatedStore(archive)
    for slot in range(2, 20):
        lay(store, slot, Tick(), floor=slot)
    await store.delete([slot_key(QUEUE, slot) for slot in range(1, 19)])
    assert await late.adopter.adopt(QUEUE, found) is None
    assert slots_of(store) == [0, 2, 19]
    replayed = await replay(store, QUEUE)
    assert (replayed.tail, replayed.epoch) == (19, 1)


@in_virtual_time
async def test_the_second_look_is_repeated_while_it_fails_or_takes_too_long() -> None:
    process = Process(old_log(), "mx2")
    found = await replay(process.store, QUEUE)
    failing, slow, quick = (process.store.hold_next("list_after") for _ in range(3))
    adopting = asyncio.ensure_future(process.adopter.adopt(QUEUE, found))
    await failing.reached()
    failing.fail()
    await slow.reached()
    await asyncio.sleep(31)
    slow.answer()
    await quick.reached()
    assert not adopting.done()
    quick.answer()
    assert await adopting is not None


@in_virtual_time
async def test_an_adoption_whose_put_is_unknown_is_known_in_the_end() -> None:
    for fate in (Fate.LOST_AFTER_LANDING, Fate.LOST_BEFORE_LANDING):
        process = Process(old_log(), "mx2")
        process.store.decide_next("put_new", fate)
        assert (await process.adopt()) is not None
        assert slots_of(process.store) == [0, 1, 2]


@in_virtual_time
async def test_an_adoption_that_fails_leaves_nothing_behind() -> None:
    process = Process(old_log(), "mx2")
    process.store.decide_next("put_new", Fate.FAILED)
    with pytest.raises(PutFailed):
        await process.adopt()
    assert slots_of(process.store) == [0, 1]


@in_virtual_time
async def test_nobody_adopts_past_a_close_or_where_nothing_is() -> None:
    archive = old_log()
    process = Process(archive, "mx2")
    assert await process.adopter.adopt("mx9.0.1", await replay(process.store, "mx9.0.1")) is None
    lay(process.store, 2, Closed(), floor=2)
    assert (await process.adopt()) is None
    assert slots_of(process.store) == [0, 1, 2]


@in_virtual_time
async def test_what_lies_below_the_floor_is_told_to_the_new_owner() -> None:
    archive = old_log()
    process = Process(archive, "mx2")
    lay(process.store, 2, Tick(), floor=2)
    owned = await process.adopt()
    assert owned is not None
    assert owned.stale == [0, 1]
    assert owned.floor == 2


@in_virtual_time
async def test_a_deposed_owners_put_fails_a_week_late() -> None:
    archive = old_log()
    owner, other = Process(archive, "mx1"), Process(archive, "mx2", seed=2)
    held = owner.store.hold_next("put_new")
    putting = asyncio.ensure_future(put_slot(owner.store, slot_key(QUEUE, 2), [b"late"]))
    await held.reached()
    assert (await other.adopt()) is not None
    await asyncio.sleep(100_000)
    held.answer()
    with pytest.raises(Fenced):
        await putting


def test_unknown_and_failed_are_different_things() -> None:
    assert not issubclass(PutUnknown, PutFailed)
    assert not issubclass(PutFailed, PutUnknown)
