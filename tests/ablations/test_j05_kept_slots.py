"""J5: `adopted` and `closed` stay for good: a deposed owner's put finds its slot taken however late it comes."""

from __future__ import annotations

import asyncio

import pytest
from sim.checkers import NOTHING
from sim.loop import run
from sim.store import SimulatedStore
from tests.ablations.cluster_stories import a_put_is_on_its_way_while_its_queue_is_adopted_and_closed
from tests.ablations.scenes import QUEUE, Scene, calm

from nightmail.journal import state
from nightmail.journal.compaction import Compactor
from nightmail.journal.fetching import Fetcher
from nightmail.journal.reading import replay
from nightmail.journal.records import Closed
from nightmail.journal.segment import Header


async def a_put_comes_minutes_late() -> Scene:
    """An owner's put hangs; it is deposed, the log goes on and is cut; minutes later the put arrives."""
    scene = Scene()
    owner, other = scene.writer(), scene.writer()
    await owner.open()
    held = owner.store.hold_next("put_new")
    owner.letter("M1")
    await held.reached()
    journal = await other.adopt()
    if journal is None:
        raise RuntimeError("the adoption failed")
    compactor = Compactor(other.store, other.clock, journal, Fetcher(other.store, QUEUE, journal.state), [])
    working = asyncio.ensure_future(compactor.run())
    await asyncio.sleep(300)
    held.answer()
    await calm()
    working.cancel()
    return scene


def test_minutes_late_is_too_late() -> None:
    async def story() -> None:
        scene = await a_put_comes_minutes_late()
        assert await scene.findings() == NOTHING
        assert scene.owners == 1

    run(story())


def test_where_adopted_is_deleted_like_the_rest_the_late_put_lands_and_its_message_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Header, "is_kept", property(lambda self: False))

    async def story() -> None:
        scene = await a_put_comes_minutes_late()
        assert (await scene.findings()).lost == {("M1", 0)}
        assert scene.owners == 2

    run(story())


async def a_closed_queue_is_found() -> Scene:
    """A queue was closed; somebody who finds what is left of it wants to adopt it."""
    scene = Scene()
    owner, other = scene.writer(), scene.writer()
    journal = await owner.open()
    await journal.stop(Closed())
    journal.is_fenced = True
    store = SimulatedStore(scene.archive)
    found = await replay(store, QUEUE)
    if not found.state.is_closed or await other.adopter.adopt(QUEUE, found) is not None:
        await other.adopt()
    return scene


def test_nobody_adopts_past_a_close() -> None:
    async def story() -> None:
        assert (await a_closed_queue_is_found()).owners == 0

    run(story())


def test_a_close_that_is_not_heeded_is_adopted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(state._CHANGES, Closed, lambda state, record: None)

    async def story() -> None:
        assert (await a_closed_queue_is_found()).owners == 1

    run(story())


def test_in_a_cluster_a_put_that_comes_after_all_is_over_changes_nothing() -> None:
    assert run(a_put_is_on_its_way_while_its_queue_is_adopted_and_closed()) == NOTHING


def test_in_a_cluster_where_nothing_is_kept_it_brings_a_closed_queue_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Header, "is_kept", property(lambda self: False))
    assert run(a_put_is_on_its_way_while_its_queue_is_adopted_and_closed()).rivals
