"""J4: an owner has read every slot before its own, and an adopter looks once more."""

from __future__ import annotations

import asyncio

import pytest
from sim.checkers import NOTHING
from sim.loop import run
from tests.ablations import scenes
from tests.ablations.cluster_stories import an_adoption_lands_after_its_slot_was_cut_off, is_found
from tests.ablations.scenes import QUEUE, Scene, calm

from nightmail.journal.keys import slot_key
from nightmail.journal.ownership import Adopter
from nightmail.journal.reading import Replayed, replay
from nightmail.journal.state import QueueState
from nightmail.store.protocol import Store
from nightmail.switch import adoptions


async def adopt_after_a_crash() -> Scene:
    """An owner dies with an undelivered message; another process adopts and goes on for a while."""
    scene = Scene()
    owner, other = scene.writer(), scene.writer()
    journal = await owner.open()
    owner.letter("M1")
    await calm()
    journal.abandon()
    await other.adopt()
    await asyncio.sleep(20)
    return scene


def test_an_adopter_who_reads_all_loses_nothing() -> None:
    async def story() -> None:
        assert await (await adopt_after_a_crash()).findings() == NOTHING

    run(story())


async def look_at_the_end_only(store: Store, queue: str) -> Replayed:
    """Find the end of a log, and nothing of what is in it."""
    return (await replay(store, queue))._replace(state=QueueState())


def test_an_adopter_who_does_not_read_loses_what_was_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "replay", look_at_the_end_only)

    async def story() -> None:
        assert (await (await adopt_after_a_crash()).findings()).lost == {("M1", 0)}

    run(story())


async def an_adopter_comes_late(adopter_class: type[Adopter]) -> Scene:
    """An adopter measured the tail, and slept; meanwhile the log went on and was cut."""
    scene = Scene()
    owner, late = scene.writer(), scene.writer(adopter_class=adopter_class)
    journal = await owner.open()
    found = await replay(late.store, QUEUE)
    for number in range(10):
        owner.letter(f"M{number}")
        await calm()
        await owner.deliver(f"M{number}")
    await asyncio.sleep(12)
    await owner.store.delete([slot_key(QUEUE, slot) for slot in range(1, journal.floor)])
    owned = await late.adopter.adopt(QUEUE, found)
    if owned is not None:
        late.run(owned)
        late.letter("LATE")
        await calm()
    owner.letter("LAST")
    await calm()
    return scene


def test_who_looks_once_more_finds_that_the_log_went_on() -> None:
    async def story() -> None:
        scene = await an_adopter_comes_late(Adopter)
        assert await scene.findings() == NOTHING
        assert scene.owners == 1

    run(story())


class LooksOnce(Adopter):
    """Takes the slot for the end of the log because it was free."""

    async def _is_last(self, queue: str, slot: int) -> bool:
        return True


def test_without_the_second_look_two_own_the_queue_and_an_acknowledged_message_is_lost() -> None:
    async def story() -> None:
        scene = await an_adopter_comes_late(LooksOnce)
        assert (await scene.findings()).lost == {("LATE", 0)}
        assert scene.owners == 2

    run(story())


def test_in_a_cluster_an_adoption_that_comes_late_is_no_adoption() -> None:
    assert run(an_adoption_lands_after_its_slot_was_cut_off()) == NOTHING


def test_in_a_cluster_who_does_not_look_once_more_writes_beside_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Adopter, "_is_last", LooksOnce._is_last)
    assert run(an_adoption_lands_after_its_slot_was_cut_off()).rivals


def test_in_a_cluster_an_adopter_who_does_not_read_loses_what_was_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoptions, "replay", look_at_the_end_only)
    assert is_found("lost", first=6)
