"""J1: 250 is answered only once the segment is known to be in its slot; who is gone has the message voided."""

from __future__ import annotations

import asyncio

import pytest
from sim.checkers import NOTHING, Findings, unwanted
from sim.loop import in_virtual_time, run, until
from tests.ablations.cluster_stories import is_found
from tests.ablations.scenes import Scene, calm

from nightmail.journal.batch import Batch
from nightmail.journal.records import Record, Voided
from nightmail.journal.writer import Journal


async def crash_during_the_put(journal_class: type[Journal]) -> Findings:
    """A message is on its way into the log when the machine dies, and never gets there."""
    scene = Scene()
    writer = scene.writer(journal_class)
    journal = await writer.open()
    held = writer.store.hold_next("put_new")
    writer.letter("M1")
    await held.reached()
    await asyncio.sleep(0.1)
    journal.abandon()
    return await scene.findings()


SEAL = Journal._seal


def seal_and_answer(self: Journal) -> Batch:
    """Seal a segment, and say 250 for what is in it."""
    batch = SEAL(self)
    for arrival in batch.arrivals:
        arrival.answered()
    return batch


class AnswersAtOnce(Journal):
    """Says 250 as soon as a message is in the segment, before the segment is in its slot."""

    def _seal(self) -> Batch:
        return seal_and_answer(self)


def test_nothing_acknowledged_is_lost_when_a_put_dies() -> None:
    assert run(crash_during_the_put(Journal)) == NOTHING


def test_without_waiting_for_the_put_an_acknowledged_message_is_lost() -> None:
    assert run(crash_during_the_put(AnswersAtOnce)).lost == {("M1", 0)}


async def hang_up_before_the_answer() -> set[str]:
    """A client hangs up while its message is on its way, and so will send it again; then the process is replaced."""
    scene = Scene()
    life = await scene.life(1)
    client = life.submit("M1")
    client.is_gone = True
    await asyncio.sleep(1)
    await life.crash()
    await scene.finish()
    return unwanted(scene.ledger)


@in_virtual_time
async def test_the_message_of_a_client_who_is_gone_is_not_delivered() -> None:
    assert await hang_up_before_the_answer() == set()


def test_without_the_voiding_it_is_delivered_though_its_client_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    append = Journal.append

    def forget_to_void(self: Journal, record: Record, *arguments: object, **named: object) -> None:
        if not isinstance(record, Voided):
            append(self, record, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "append", forget_to_void)
    assert run(hang_up_before_the_answer()) == {"M1"}


@in_virtual_time
async def test_delivery_begins_only_after_the_answer() -> None:
    scene = Scene()
    life = await scene.life(1)
    client = life.submit("M1")
    seen: list[str] = []
    deliver = life.sink.deliver
    life.sink.deliver = lambda route, job: (seen.append(client.answer), deliver(route, job))[1]  # type: ignore[method-assign]
    await until(lambda: life.is_idle)
    await calm()
    assert seen == ["250"]
    await life.stop()


def test_without_waiting_for_the_put_a_cluster_loses_what_was_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "_seal", seal_and_answer)
    assert is_found("lost", first=4)
