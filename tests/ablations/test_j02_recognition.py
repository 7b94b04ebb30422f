"""J2: a slot that is taken is read: our own bytes, whole, or we are fenced."""

from __future__ import annotations

import asyncio

import pytest
from sim.checkers import NOTHING
from sim.loop import run
from tests.ablations.cluster_stories import a_put_is_on_its_way_while_its_queue_is_adopted_and_closed
from tests.ablations.scenes import Scene, calm

from nightmail.journal import ownership


async def a_put_meets_an_adopter() -> Scene:
    """An owner's put is slow; meanwhile another process adopts, in that very slot."""
    scene = Scene()
    owner, other = scene.writer(), scene.writer()
    await owner.open()
    held = owner.store.hold_next("put_new")
    owner.letter("M1")
    await held.reached()
    await other.adopt()
    held.answer()
    await calm()
    other.letter("M2")
    await calm()
    return scene


def test_of_two_only_one_goes_on_and_nothing_is_lost() -> None:
    async def story() -> None:
        scene = await a_put_meets_an_adopter()
        assert await scene.findings() == NOTHING
        assert scene.owners == 1
        assert [orphan.id for orphan in scene.writers[0].orphans] == ["M1"]

    run(story())


async def believe(*_: object, **__: object) -> None:
    """What is there will be ours."""


def test_without_reading_the_slot_two_own_the_queue_and_an_acknowledged_message_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ownership, "_recognise", believe)

    async def story() -> None:
        scene = await a_put_meets_an_adopter()
        assert (await scene.findings()).lost == {("M1", 0)}
        assert scene.owners == 2

    run(story())


def test_a_lost_answer_is_recognised_by_its_nonce_also_where_the_records_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two processes of one name adopt with the same words: without the nonce each takes the other's for its own."""

    async def story() -> int:
        scene = Scene()
        first = scene.writer()
        (await first.open()).abandon()
        rivals = [scene.writer(), scene.writer()]
        held = [rival.store.hold_next("put_new") for rival in rivals]
        for rival in rivals:
            rival.adopter._identity = first.adopter._identity
        adopting = [asyncio.ensure_future(rival.adopt()) for rival in rivals]
        for put in held:
            await put.reached()
        for put in held:
            put.answer()
        await asyncio.gather(*adopting)
        return scene.owners

    assert run(story()) == 1
    monkeypatch.setattr("sim.world.SeededRandomness.token", lambda self, size: b"\0" * size)
    assert run(story()) == 2


def test_in_a_cluster_who_does_not_read_the_slot_delivers_beside_its_new_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "_recognise", believe)
    findings = run(a_put_is_on_its_way_while_its_queue_is_adopted_and_closed())
    assert findings.rivals
    assert findings.stale
