"""Adoption on request: exactly the slot that was named, and nothing that moved, was closed, or is being adopted."""

from __future__ import annotations

import asyncio

import pytest
from sim.loop import in_virtual_time
from sim.store import SimulatedStore
from sim.world import SeededRandomness, VirtualClock
from structlog.testing import capture_logs
from tests.journal.rig import HELLO, QUEUE, accepted, adopted, identity, lay, lay_newer

from nightmail.errors import FormatUnknown, StoreUnavailable
from nightmail.journal.keys import slot_key
from nightmail.journal.ownership import Adopter, Ownership
from nightmail.journal.records import Closed, Tick
from nightmail.switch.adoptions import Adoptions
from nightmail.switch.damage import DamageAlarm


class Scene:
    """A log of two slots with a message whose claim is open, and who may adopt it."""

    def __init__(self) -> None:
        self.store = SimulatedStore()
        lay(self.store, 0, adopted())
        lay(self.store, 1, accepted("M1", claimed=(0,)), bodies=[HELLO])
        clock, randomness = VirtualClock(), SeededRandomness(1)
        adopter = Adopter(self.store, clock, randomness, identity("mx2", "life-2"), promise_ms=1000)
        self.owned: list[Ownership] = []
        self.may_adopt = True
        self.adoptions = Adoptions(
            self.store, clock, adopter, DamageAlarm(), may_adopt=lambda _: self.may_adopt, adopted=self.owned.append
        )


@in_virtual_time
async def test_what_stood_still_is_adopted_by_the_slot_that_was_named() -> None:
    scene = Scene()
    with capture_logs() as logs:
        assert await scene.adoptions.adopt(QUEUE, 1)
    [owned] = scene.owned
    assert (owned.next_slot, owned.epoch, list(owned.state.messages)) == (3, 2, ["M1"])
    assert [(line["messages"], line["ambiguous"]) for line in logs] == [(1, 1)]
    assert not scene.adoptions._reading


@in_virtual_time
async def test_what_was_prepared_is_read_on_from_there() -> None:
    scene = Scene()
    scene.adoptions.prepare(QUEUE)
    await asyncio.sleep(1)
    lay(scene.store, 2, accepted("M2"), bodies=[HELLO])
    assert await scene.adoptions.adopt(QUEUE, 2)
    assert list(scene.owned[0].state.messages) == ["M1", "M2"]


@in_virtual_time
async def test_what_a_newer_release_wrote_is_not_passed_over() -> None:
    scene = Scene()
    scene.adoptions.prepare(QUEUE)
    await asyncio.sleep(1)
    lay_newer(scene.store, 2)
    with pytest.raises(FormatUnknown):
        await scene.adoptions.adopt(QUEUE, 2)
    assert not scene.owned
    with pytest.raises(FormatUnknown):
        await scene.adoptions.adopt(QUEUE, 2)


@in_virtual_time
async def test_a_journal_that_moved_is_left_alone() -> None:
    scene = Scene()
    scene.adoptions.prepare(QUEUE)
    lay(scene.store, 2, Tick())
    assert not await scene.adoptions.adopt(QUEUE, 1)
    assert slot_key(QUEUE, 3) not in scene.store.objects.contents
    assert not scene.adoptions._reading


@in_virtual_time
async def test_a_closed_journal_is_left_alone() -> None:
    scene = Scene()
    lay(scene.store, 2, Closed())
    assert not await scene.adoptions.adopt(QUEUE, 2)


@in_virtual_time
async def test_who_is_asked_twice_adopts_once() -> None:
    scene = Scene()
    both = await asyncio.gather(scene.adoptions.adopt(QUEUE, 1), scene.adoptions.adopt(QUEUE, 1))
    assert sorted(both) == [False, True]
    assert len(scene.owned) == 1


@in_virtual_time
async def test_a_store_that_is_away_is_asked_again_while_there_is_time() -> None:
    scene = Scene()
    scene.store.cut()
    scene.adoptions.prepare(QUEUE)
    await asyncio.sleep(5)
    scene.store.restore()
    await asyncio.sleep(1)
    assert await scene.adoptions.adopt(QUEUE, 1)


@in_virtual_time
async def test_an_adoption_that_can_not_look_is_given_up_and_may_be_tried_again() -> None:
    scene = Scene()
    scene.adoptions.prepare(QUEUE)
    await asyncio.sleep(1)
    scene.store.cut()
    with pytest.raises(StoreUnavailable):
        await scene.adoptions.adopt(QUEUE, 1)
    scene.store.restore()
    assert await scene.adoptions.adopt(QUEUE, 1)


@in_virtual_time
async def test_what_is_not_to_be_adopted_after_all_is_forgotten() -> None:
    scene = Scene()
    scene.adoptions.prepare(QUEUE)
    assert scene.adoptions._reading
    scene.adoptions.forget(QUEUE)
    scene.adoptions.forget("mx1.0.99")
    assert not scene.adoptions._reading


@in_virtual_time
async def test_what_is_run_here_already_is_not_adopted_again() -> None:
    scene = Scene()
    scene.may_adopt = False
    scene.adoptions.prepare(QUEUE)
    assert not scene.adoptions._reading
    assert not await scene.adoptions.adopt(QUEUE, 1)
    assert slot_key(QUEUE, 2) not in scene.store.objects.contents
