"""J3: an unknown outcome is put again, the same bytes into the same slot, until it is known."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from sim.checkers import NOTHING, Findings
from sim.loop import run, until
from tests.ablations.cluster_stories import is_found
from tests.ablations.scenes import QUEUE, Scene, calm

from nightmail.errors import StoreUnavailable
from nightmail.journal import ownership, writer
from nightmail.journal.batch import Batch
from nightmail.journal.compaction import Compactor
from nightmail.journal.fetching import Fetcher
from nightmail.journal.ownership import put_slot
from nightmail.journal.reading import replay
from nightmail.journal.writer import Journal
from nightmail.store.protocol import Buffer, Put, PutFailed, PutUnknown, Store


async def an_answer_is_lost(journal_class: type[Journal] = Journal) -> Findings:
    """A put's answer is lost, and the put itself lands a while later; an older message holds the floor."""
    scene = Scene()
    process = scene.writer(journal_class)
    await process.open()
    process.letter("M0")
    await calm()
    held = process.store.hold_next("put_new")
    process.letter("M1")
    await held.reached()
    process.store.cut()
    held.lose()
    await asyncio.sleep(0.2)
    held.land()
    process.store.restore()
    await asyncio.sleep(5)
    if process.journal is not None:
        process.journal.abandon()
    await scene.finish()
    return await scene.findings()


async def give_up(store: Store, key: str, data: Sequence[Buffer]) -> None:
    """Take what nobody knows for a failure."""
    try:
        if await store.put_new(key, data) is Put.CREATED:
            return
    except PutUnknown as error:
        raise PutFailed(str(error)) from error
    await put_slot(store, key, data)


class SkipsTheSlot(Journal):
    """Where the outcome is unknown, refuses and goes on with the slot after it."""

    async def _put(self, batch: Batch) -> None:
        try:
            await super()._put(batch)
        except PutFailed:
            self.next_slot += 1
            raise


def test_a_lost_answer_is_found_out() -> None:
    assert run(an_answer_is_lost()) == NOTHING


def test_taking_unknown_for_failed_refuses_what_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "put_slot", give_up)
    assert run(an_answer_is_lost()).contradicted == {"M1"}


def test_going_on_with_the_next_slot_refuses_what_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "put_slot", give_up)
    assert run(an_answer_is_lost(SkipsTheSlot)).contradicted == {"M1"}


async def a_failure_follows_an_unknown() -> Findings:
    """A put's answer is lost; the repeated put fails for certain; then the first one lands."""
    scene = Scene()
    process = scene.writer()
    await process.open()
    first, second = process.store.hold_next("put_new"), process.store.hold_next("put_new")
    letter = process.letter("M1")
    await first.reached()
    first.lose()
    await second.reached()
    second.fail()
    first.land()
    await until(lambda: bool(letter.answers))
    await asyncio.sleep(5)
    if process.journal is not None:
        process.journal.abandon()
    await scene.finish()
    return await scene.findings()


def test_a_failure_after_an_unknown_outcome_refuses_nothing() -> None:
    assert run(a_failure_follows_an_unknown()) == NOTHING


def test_believing_that_failure_refuses_what_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def believe_failure(store: Store, key: str, data: Sequence[Buffer]) -> None:
        try:
            if await store.put_new(key, data) is Put.CREATED:
                return
        except PutUnknown:
            await store.put_new(key, data)
        await put_slot(store, key, data)

    monkeypatch.setattr(writer, "put_slot", believe_failure)
    assert run(a_failure_follows_an_unknown()).contradicted == {"M1"}


async def a_late_adopter_takes_the_place_of_what_was_read() -> tuple[Findings, list[str]]:
    """A put lands, its answer is lost; it is read, delivered and cut; a late adopter's segment takes its place."""
    scene = Scene()
    owner, other, late = scene.writer(), scene.writer(), scene.writer()
    await owner.open()
    found = await replay(late.store, QUEUE)
    held = owner.store.hold_next("put_new")
    owner.letter("M1")
    await held.reached()
    held.land()
    owner.store.cut()
    held.lose()
    await calm()
    journal = await other.adopt()
    if journal is None:
        raise RuntimeError("the adoption failed")
    compactor = Compactor(other.store, other.clock, journal, Fetcher(other.store, QUEUE, journal.state), [])
    working = asyncio.ensure_future(compactor.run())
    await other.deliver("M1")
    await asyncio.sleep(120)
    working.cancel()
    await late.adopter.adopt(QUEUE, found)
    owner.store.restore()
    await asyncio.sleep(3)
    return await scene.findings(), [orphan.id for orphan in owner.orphans]


def test_who_is_fenced_after_an_unknown_outcome_gives_nothing_to_the_next_generation() -> None:
    assert run(a_late_adopter_takes_the_place_of_what_was_read()) == (NOTHING, [])


def test_taking_that_for_never_landed_delivers_it_again_from_the_next_generation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recognise = ownership._recognise

    async def without_doubt(store: Store, key: str, data: Sequence[Buffer], *, was_in_doubt: bool) -> None:
        await recognise(store, key, data, was_in_doubt=False)

    monkeypatch.setattr(ownership, "_recognise", without_doubt)
    assert run(a_late_adopter_takes_the_place_of_what_was_read()) == (NOTHING, ["M1"])


async def nobody_answers() -> tuple[Findings, list[str]]:
    """A put hangs for longer than any client waits, and lands in the end."""
    scene = Scene()
    process = scene.writer()
    await process.open()
    held = process.store.hold_next("put_new")
    inside = process.letter("M1")
    await held.reached()
    behind = process.letter("M2")
    await asyncio.sleep(700)
    held.answer()
    await asyncio.sleep(1)
    if process.journal is not None:
        process.journal.abandon()
    await scene.finish()
    return await scene.findings(), [inside.answers[0], behind.answers[0]]


def test_who_waits_in_a_hanging_put_gets_no_answer_and_who_waits_behind_it_a_refusal() -> None:
    assert run(nobody_answers()) == (NOTHING, ["unanswered", "451"])


def test_refusing_who_waits_in_a_hanging_put_refuses_what_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Journal._look_at_waiters

    def refuse_all(self: Journal) -> None:
        batch, patience = self._in_flight, self._clock.elapsed() - 5
        while batch is not None and batch.unanswered and batch.unanswered[0].waits_since < patience:
            arrival = batch.unanswered.popleft()
            arrival.refused(StoreUnavailable("the store does not answer"))
            monkeypatch.setattr(arrival, "answered", lambda: True)
        look(self)

    monkeypatch.setattr(Journal, "_look_at_waiters", refuse_all)
    assert run(nobody_answers())[0].contradicted == {"M1"}


def test_taking_unknown_for_failed_a_cluster_refuses_what_it_delivers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "put_slot", give_up)
    assert is_found("contradicted", first=10)
