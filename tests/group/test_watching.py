"""A journal looked at from outside: its end, its promise, its owner."""

from __future__ import annotations

from sim.loop import in_virtual_time
from sim.store import SimulatedStore
from sim.world import SeededRandomness
from structlog.testing import capture_logs
from tests.journal.rig import QUEUE, adopted, lay, lay_newer

from nightmail.group.events import Gone, LookFailed, Sighted
from nightmail.group.watching import Watcher
from nightmail.journal.keys import slot_key
from nightmail.journal.reading import LONGEST_S
from nightmail.journal.records import Closed, Tick, Yielded


def watcher(store: SimulatedStore) -> Watcher:
    return Watcher(store, SeededRandomness(1), "mx9")


def log_of_two_owners() -> SimulatedStore:
    """mx1 began it, mx2 adopted it in slot 40; below the floor only what is kept is left."""
    store = SimulatedStore()
    lay(store, 0, adopted())
    for slot in range(20, 40):
        lay(store, slot, Tick(), floor=20)
    lay(store, 40, adopted(2, "mx2"), epoch=2, floor=20)
    for slot in range(41, 50):
        lay(store, slot, Tick(), epoch=2, floor=30, promise_ms=10_000)
    return store


@in_virtual_time
async def test_a_look_tells_the_tail_its_promise_and_the_owner() -> None:
    assert await watcher(log_of_two_owners()).look(QUEUE, -1) == Sighted(
        QUEUE, 49, 10.0, "mx2", "", incarnation="life-1", epoch=2
    )


@in_virtual_time
async def test_a_look_that_finds_nothing_new_says_the_same_again() -> None:
    store = log_of_two_owners()
    looking = watcher(store)
    seen = await looking.look(QUEUE, -1)
    store.objects.history.clear()
    assert await looking.look(QUEUE, 49) == seen


@in_virtual_time
async def test_what_a_newer_release_wrote_is_not_judged() -> None:
    store = log_of_two_owners()
    looking = watcher(store)
    await looking.look(QUEUE, -1)
    lay_newer(store, 50)
    with capture_logs() as logs:
        assert await looking.look(QUEUE, 49) == LookFailed(QUEUE, is_newer=True)
        assert await looking.look(QUEUE, 49) == LookFailed(QUEUE, is_newer=True)
    [line] = logs
    assert line["remedy"] == "upgrade this server"


@in_virtual_time
async def test_a_new_owner_is_seen() -> None:
    store = log_of_two_owners()
    looking = watcher(store)
    await looking.look(QUEUE, -1)
    lay(store, 50, adopted(3, "mx3"), epoch=3, floor=30)
    lay(store, 51, Tick(), epoch=3, floor=30)
    assert await looking.look(QUEUE, 49) == Sighted(QUEUE, 51, 3.0, "mx3", "", incarnation="life-1", epoch=3)


@in_virtual_time
async def test_a_yielded_journal_says_so() -> None:
    store = log_of_two_owners()
    lay(store, 50, Yielded(), epoch=2, floor=30)
    seen = await watcher(store).look(QUEUE, -1)
    assert isinstance(seen, Sighted)
    assert seen.is_yielded


@in_virtual_time
async def test_a_closed_journal_and_one_without_slots_are_gone() -> None:
    store = log_of_two_owners()
    lay(store, 50, Closed(), epoch=2, floor=30)
    assert await watcher(store).look(QUEUE, -1) == Gone(QUEUE)
    assert await watcher(store).look("mx1.0.77", -1) == Gone("mx1.0.77")


@in_virtual_time
async def test_a_tail_that_can_not_be_read_may_have_promised_anything() -> None:
    store = log_of_two_owners()
    store.objects.contents[slot_key(QUEUE, 49)] = b"garbage"
    seen = await watcher(store).look(QUEUE, -1)
    assert seen == Sighted(QUEUE, 49, LONGEST_S, "", "")


@in_virtual_time
async def test_an_adoption_that_can_not_be_read_leaves_the_owner_unknown() -> None:
    store = log_of_two_owners()
    store.objects.contents[slot_key(QUEUE, 40)] = b"garbage"
    seen = await watcher(store).look(QUEUE, -1)
    assert isinstance(seen, Sighted)
    assert (seen.tail, seen.owner) == (49, "")


@in_virtual_time
async def test_a_store_out_of_reach_is_no_sight() -> None:
    store = log_of_two_owners()
    store.cut()
    assert await watcher(store).look(QUEUE, -1) == LookFailed(QUEUE)
    assert not await watcher(store).probe()


@in_virtual_time
async def test_a_probe_leaves_nothing_behind_and_a_sweep_takes_what_a_crash_left() -> None:
    store = SimulatedStore()
    assert await watcher(store).probe()
    assert not store.objects.contents
    store.objects.contents["probes/mx9/0011"] = b"probe"
    store.objects.contents["probes/mx1/0011"] = b"probe"
    await watcher(store).sweep()
    assert list(store.objects.contents) == ["probes/mx1/0011"]


@in_virtual_time
async def test_slots_that_vanish_or_are_damaged_hide_no_owner() -> None:
    store = log_of_two_owners()
    for slot in (25, 30, 35, 42, 44):
        store.objects.contents[slot_key(QUEUE, slot)] = b"garbage"
    seen = await watcher(store).look(QUEUE, -1)
    assert isinstance(seen, Sighted)
    assert seen.owner == "mx2"
