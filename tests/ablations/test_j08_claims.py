"""J8: nothing is sent without a durable claim, so that every second delivery is known for what it may be."""

from __future__ import annotations

import asyncio

import pytest
from sim.checkers import NOTHING, Findings, Ledger
from sim.life import Life
from sim.loop import run, until
from sim.store import SimulatedStore
from tests.ablations.cluster_stories import is_found
from tests.ablations.scenes import Scene, calm
from tests.switch.test_open_claims import Story, comes_back

from nightmail.journal.batch import Done
from nightmail.journal.records import AMBIGUOUS, Claimed, Record, Settled
from nightmail.journal.writer import Journal
from nightmail.queue.settings import QueueSettings
from nightmail.switch.attempts import Round
from nightmail.switch.owned import OwnedQueue


async def die_between_dot_and_settlement() -> tuple[Findings, Ledger, int]:
    """The destination has taken a message when the switch dies; the next one finds it in the log."""
    scene = Scene()
    life = await scene.life(1)
    life.sink.holds = True
    life.submit("M1")
    await until(lambda: bool(life.sink.held))
    life.sink.send_dot(life.sink.held[0])
    await life.crash()
    await scene.finish()
    doubts = sum(
        result.outcome == AMBIGUOUS
        for record in scene.archive.records()
        if isinstance(record, Settled)
        for result in record.results
    )
    return await scene.findings(), scene.ledger, doubts


def test_a_second_delivery_is_recorded_as_ambiguous_before_it_is_made() -> None:
    findings, ledger, doubts = run(die_between_dot_and_settlement())
    assert findings == NOTHING
    assert ledger.delivered["M1", 0] == 2
    assert doubts == 1


RESERVE = OwnedQueue.reserve


def reserve_and_say_nothing(self: OwnedQueue, round_: Round) -> tuple[int, ...]:
    """Take send slots, and claim nothing."""
    RESERVE(self, round_)
    return ()


def test_without_the_claim_at_acceptance_the_second_delivery_is_not_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnedQueue, "reserve", reserve_and_say_nothing)
    assert run(die_between_dot_and_settlement())[0].doubled == {("M1", 0)}


async def die_in_a_later_attempt() -> Findings:
    """The same with a message that waited for a slot, and was claimed when it got one."""
    scene = Scene()
    store = SimulatedStore(scene.archive)
    life = await Life(store, scene.ledger, queue_settings=QueueSettings(destination_connections=1)).start()
    life.sink.holds = True
    life.submit("M1")
    await until(lambda: len(life.sink.held) == 1)
    life.submit("M2")
    await calm()
    life.sink.transmit(life.sink.held[0])
    await until(lambda: len(life.sink.held) == 2)
    life.sink.send_dot(life.sink.held[1])
    await until(lambda: "M1" not in life.switch.queues[0].journal.state.messages)
    await life.crash()
    await scene.finish()
    return await scene.findings()


def test_an_attempt_that_waited_for_its_slot_is_claimed_too() -> None:
    assert run(die_in_a_later_attempt()) == NOTHING


APPEND = Journal.append


def go_ahead(self: Journal, record: Record, done: Done | None = None, **named: object) -> None:
    """Send off, and write no claim."""
    if isinstance(record, Claimed) and done is not None:
        done()
    else:
        APPEND(self, record, done, **named)  # type: ignore[arg-type]


def test_without_the_claim_before_a_later_attempt_the_second_delivery_is_not_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Journal, "append", go_ahead)
    assert run(die_in_a_later_attempt()).doubled == {("M2", 0)}


def test_without_the_claim_at_acceptance_a_cluster_delivers_twice_unexplained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnedQueue, "reserve", reserve_and_say_nothing)
    assert is_found("doubled", first=3)


def test_without_the_claim_before_a_later_attempt_so_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "append", go_ahead)
    assert is_found("doubled", first=60)


async def adopt_while_the_policy_can_not_be_known() -> list[tuple[int, bool]]:
    """The route of an open claim says hold, and can be looked up only later."""
    story = Story()
    await story.die_after_the_dot()
    life, directory = await story.adopt()
    await asyncio.sleep(10)
    comes_back(directory, "hold")
    await asyncio.sleep(600)
    await life.stop()
    return story.settled("M1")


def test_what_is_to_be_held_is_held_also_where_that_is_known_only_later() -> None:
    assert run(adopt_while_the_policy_can_not_be_known()) == [(AMBIGUOUS, True)]


def test_without_waiting_for_the_policy_it_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Round, "is_policy_known", True)
    assert run(adopt_while_the_policy_can_not_be_known())[0] == (AMBIGUOUS, False)
