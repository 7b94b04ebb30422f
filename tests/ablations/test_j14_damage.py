"""J14: a slot that can't be read is named and kept, and what was open around it is ambiguous."""

from __future__ import annotations

import asyncio

import pytest
from sim.checkers import NOTHING, Findings
from sim.loop import in_virtual_time, run, until
from sim.store import SimulatedStore
from tests.ablations.cluster_stories import segments_go_bad_before_their_queue_is_adopted, slots_of_the_delivery, spoil
from tests.ablations.scenes import QUEUE, Scene

from nightmail.journal.keys import slot_key
from nightmail.journal.reading import replay
from nightmail.journal.state import QueueState


async def a_settlement_becomes_unreadable() -> tuple[Scene, Findings, list[str]]:
    """An older message holds the floor; another is delivered, and the segments that say so go bad."""
    scene = Scene()
    life = await scene.life(1)
    life.sink.answers["r0@example.net"] = "deferred"
    life.sink.answers["r1@example.net"] = "deferred"
    life.submit("OLD", recipients=2)
    life.submit("M1")
    await asyncio.sleep(1)
    life.sink.answers = {"r1@example.net": "deferred"}
    await until(lambda: scene.ledger.delivered["M1", 0] == 1, step_s=0.1)
    await asyncio.sleep(1)
    await life.crash()
    spoilt = slots_of_the_delivery(scene.archive, "M1")
    for key in spoilt:
        spoil(scene.archive, key)
    await scene.finish()
    return scene, await scene.findings(), spoilt


def test_what_may_have_been_delivered_is_delivered_again_as_ambiguous() -> None:
    scene, findings, spoilt = run(a_settlement_becomes_unreadable())
    assert findings == NOTHING
    assert scene.ledger.delivered["M1", 0] == 2
    assert set(spoilt) <= set(scene.archive.contents), "what can't be read is kept for a person to look at"


def test_skipping_it_in_silence_leaves_a_second_delivery_unexplained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QueueState, "doubt_everything", lambda self: None)
    assert run(a_settlement_becomes_unreadable())[1].doubled == {("M1", 0)}


@in_virtual_time
async def test_a_slot_that_is_not_listed_at_first_is_listed_again() -> None:
    scene = Scene()
    owner = scene.writer()
    await owner.open()
    for number in range(3):
        owner.letter(f"M{number}")
        await asyncio.sleep(0.1)
    hidden = scene.archive.contents.pop(slot_key(QUEUE, 2))
    reader = SimulatedStore(scene.archive)
    listing = reader.hold_next("list_after")
    reading = asyncio.ensure_future(replay(reader, QUEUE))
    await listing.reached()
    listing.land()
    scene.archive.contents[slot_key(QUEUE, 2)] = hidden
    listing.answer()
    found = await reading
    assert found.damage == []
    assert len(found.state.messages) == 3
    assert not any(message.claimed for message in found.state.messages.values())


def test_in_a_cluster_a_partner_takes_what_it_can_not_read_for_ambiguous() -> None:
    assert run(segments_go_bad_before_their_queue_is_adopted()) == NOTHING


def test_in_a_cluster_skipping_it_in_silence_leaves_a_second_delivery_unexplained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(QueueState, "doubt_everything", lambda self: None)
    assert run(segments_go_bad_before_their_queue_is_adopted()).doubled == {("M2", 0)}
