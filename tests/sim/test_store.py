"""The simulated store does to a caller what a test tells it to, and a seed replays what chance does."""

from __future__ import annotations

import asyncio
import random

import pytest
from sim.store import Objects, SimulatedStore
from sim.store_faults import Chaos, Fate
from tests.eventloop import on_a_loop

from nightmail.errors import StoreUnavailable
from nightmail.store.protocol import NotFound, Put, PutBroken, PutFailed, PutUnknown


@on_a_loop
async def test_a_held_put_stands_still_until_it_is_answered() -> None:
    store = SimulatedStore()
    held = store.hold_next("put_new", "log/")
    assert await store.put_new("body/1", [b"not held"]) is Put.CREATED
    put = asyncio.ensure_future(store.put_new("log/1", [b"held"]))
    await held.reached()
    assert not put.done()
    assert "log/1" not in store.objects.contents
    held.answer()
    assert await put is Put.CREATED
    assert await store.put_new("log/2", [b"not held"]) is Put.CREATED


@on_a_loop
async def test_a_put_may_land_long_before_and_long_after_its_caller_hears_of_it() -> None:
    store = SimulatedStore()
    early, late = store.hold_next("put_new"), store.hold_next("put_new")
    first = asyncio.ensure_future(store.put_new("log/1", [b"early"]))
    await early.reached()
    assert early.land() is Put.CREATED
    assert not first.done()
    second = asyncio.ensure_future(store.put_new("log/2", [b"late"]))
    await late.reached()
    late.lose()
    with pytest.raises(PutUnknown):
        await second
    assert await store.put_new("log/2", [b"another's"]) is Put.CREATED
    assert late.land() is Put.EXISTS
    early.answer()
    assert await first is Put.CREATED
    assert store.objects.contents == {"log/1": b"early", "log/2": b"another's"}


@on_a_loop
async def test_a_put_lands_though_its_caller_was_cancelled() -> None:
    store = SimulatedStore()
    held = store.hold_next("put_new")
    put = asyncio.ensure_future(store.put_new("log/1", [b"x"]))
    await held.reached()
    put.cancel()
    await asyncio.gather(put, return_exceptions=True)
    assert held.land() is Put.CREATED
    held.answer()


@on_a_loop
async def test_a_failed_put_never_lands_and_a_spoilt_one_has() -> None:
    store = SimulatedStore()
    for end, error, there in (("fail", PutFailed, False), ("spoil", PutBroken, True)):
        held = store.hold_next("put_new")
        put = asyncio.ensure_future(store.put_new(f"log/{end}", [b"x"]))
        await held.reached()
        getattr(held, end)()
        with pytest.raises(error):
            await put
        assert (f"log/{end}" in store.objects.contents) is there


@pytest.mark.parametrize(
    ("fate", "error", "there"),
    [
        (Fate.LOST_AFTER_LANDING, PutUnknown, True),
        (Fate.LOST_BEFORE_LANDING, PutUnknown, False),
        (Fate.FAILED, PutFailed, False),
        (Fate.BROKEN, PutBroken, True),
    ],
)
@on_a_loop
async def test_a_fate_is_met_once(fate: Fate, error: type[Exception], there: bool) -> None:
    store = SimulatedStore()
    store.decide_next("put_new", fate, "log/")
    assert await store.put_new("body/1", [b"x"]) is Put.CREATED
    with pytest.raises(error):
        await store.put_new("log/1", [b"x"])
    assert ("log/1" in store.objects.contents) is there
    assert await store.put_new("log/2", [b"x"]) is Put.CREATED


@on_a_loop
async def test_one_process_can_be_cut_off_while_another_goes_on() -> None:
    objects = Objects()
    here, there = SimulatedStore(objects), SimulatedStore(objects)
    here.cut()
    with pytest.raises(PutUnknown):
        await here.put_new("log/1", [b"x"])
    with pytest.raises(StoreUnavailable):
        await here.get_range("log/1", 0, 1)
    assert await there.put_new("log/1", [b"there"]) is Put.CREATED
    here.cut(hang=True)
    put = asyncio.ensure_future(here.put_new("log/1", [b"here"]))
    await asyncio.sleep(0)
    assert not put.done()
    here.restore()
    assert await put is Put.EXISTS


@on_a_loop
async def test_reads_and_lists_can_be_held_and_see_what_is_there_when_they_are_let_go() -> None:
    store = SimulatedStore()
    read, listing = store.hold_next("get_range"), store.hold_next("list_after")
    reading = asyncio.ensure_future(store.get_range("log/1", 0, 10))
    pages = store.list_after("log/", "")
    listed = asyncio.ensure_future(anext(pages))
    await read.reached()
    await listing.reached()
    await store.put_new("log/1", [b"late"])
    read.answer()
    listing.answer()
    assert await reading == b"late"
    assert await listed == ["log/1"]
    gone = store.hold_next("get_range")
    reading = asyncio.ensure_future(store.get_range("log/2", 0, 10))
    await gone.reached()
    gone.answer()
    with pytest.raises(NotFound):
        await reading


@on_a_loop
async def test_a_full_store_refuses_and_takes_again_once_there_is_room() -> None:
    store = SimulatedStore(Objects(capacity_bytes=10))
    await store.put_new("log/1", [b"12345678"])
    assert await store.free_bytes() == 2
    with pytest.raises(PutFailed):
        await store.put_new("log/2", [b"123"])
    await store.delete(["log/1"])
    assert await store.put_new("log/2", [b"123"]) is Put.CREATED
    assert store.objects.count("put_new", Put.CREATED) == 2


def test_a_seed_replays_the_same_chaos() -> None:
    assert chaos_of(1) == chaos_of(1)
    assert chaos_of(1) != chaos_of(2)


def test_chaos_holds_every_kind_of_end() -> None:
    ends = {end for seed in range(5) for end in chaos_of(seed)}
    assert {("unknown", True), ("unknown", False), ("failed", False), ("created", True)} <= ends
    assert ("failed", True) not in ends


def chaos_of(seed: int) -> list[tuple[str, bool]]:
    chaos = Chaos(random.Random(seed), delay_s=0, late_s=0, lost_share=0.3, failed_share=0.1)

    async def run() -> list[tuple[str, bool]]:
        store = SimulatedStore(chaos=chaos)
        ends = []
        for n in range(60):
            key = f"log/{n}"
            try:
                ends.append(((await store.put_new(key, [b"x"])).value, key in store.objects.contents))
            except PutFailed:
                ends.append(("failed", key in store.objects.contents))
            except PutUnknown:
                ends.append(("unknown", key in store.objects.contents))
        return ends

    return asyncio.run(run())
