"""The writer when the store fails, hangs, loses answers, or belongs to somebody else by now."""

from __future__ import annotations

import asyncio

import msgspec
from sim.checkers import NOTHING, audit
from sim.letters import Letter
from sim.loop import in_virtual_time, until
from sim.store_faults import Fate
from tests.journal.rig import QUEUE, SETTINGS, Desk, lay, records_in, settle_down, slots_of

from nightmail.journal.keys import slot_key
from nightmail.journal.records import (
    DELIVERED,
    Adopted,
    Closed,
    Held,
    Settled,
    Settlement,
    Voided,
)

MS = 0.001


def delivered(message_id: str) -> Settled:
    return Settled(message_id, (Settlement(0, DELIVERED),))


def names(records: list[object]) -> list[str]:
    return [type(record).__name__ for record in records]


@in_virtual_time
async def test_a_put_that_took_longer_than_its_promise_gives_no_right_until_a_later_one_succeeds() -> None:
    desk = Desk()
    journal = await desk.open()
    desk.is_busy = True
    held = desk.store.hold_next("put_new")
    letter = desk.letter("M1", claims=(0,))
    await held.reached()
    await asyncio.sleep(4)
    next_one = desk.store.hold_next("put_new")
    held.answer()
    await until(lambda: letter.answers == ["250"])
    assert not journal.may_deliver()
    await next_one.reached()
    next_one.answer()
    await settle_down()
    assert journal.may_deliver()


@in_virtual_time
async def test_a_put_that_failed_refuses_its_messages_and_keeps_its_records() -> None:
    desk = Desk()
    journal = await desk.open()
    held = desk.store.hold_next("put_new")
    durable: list[str] = []
    letter = desk.letter("M1")
    journal.append(Held("M0"), lambda: durable.append("held"))
    await held.reached()
    behind = desk.letter("M2")
    held.fail()
    await settle_down()
    assert (letter.answers, behind.answers, durable) == (["451"], ["451"], [])
    assert journal.fault
    await asyncio.sleep(0.2)
    assert durable == ["held"]
    assert journal.fault == ""
    assert await records_in(desk.store, 1) == [Held("M0")]
    again = desk.letter("M1")
    await settle_down()
    assert again.answers == ["250"]


@in_virtual_time
async def test_an_unknown_outcome_is_put_again_with_the_same_bytes_until_it_is_known() -> None:
    desk = Desk()
    await desk.open()
    held = desk.store.hold_next("put_new")
    letter = desk.letter("M1")
    await held.reached()
    desk.store.cut()
    held.lose()
    await asyncio.sleep(30)
    assert letter.answers == []
    desk.store.restore()
    await until(lambda: bool(letter.answers))
    assert letter.answers == ["250"]
    landed = desk.archive.contents[slot_key(QUEUE, 1)]
    held.land()
    assert desk.archive.contents[slot_key(QUEUE, 1)] == landed


@in_virtual_time
async def test_who_waits_behind_a_put_that_hangs_is_refused_after_the_commit_wait() -> None:
    desk = Desk()
    journal = await desk.open()
    held = desk.store.hold_next("put_new")
    first = desk.letter("M1")
    await held.reached()
    await asyncio.sleep(2)
    early = desk.letter("M2")
    await asyncio.sleep(3)
    late = desk.letter("M3")
    await asyncio.sleep(2.6)
    assert (first.answers, early.answers, late.answers) == ([], ["451"], [])
    assert journal.is_stuck
    await asyncio.sleep(3)
    assert late.answers == ["451"]
    held.answer()
    await settle_down()
    assert first.answers == ["250"]
    assert not journal.is_stuck


@in_virtual_time
async def test_who_waits_in_a_put_that_hangs_is_left_unanswered_once_and_voided_when_it_lands() -> None:
    desk = Desk()
    journal = await desk.open()
    held = desk.store.hold_next("put_new")
    letter = desk.letter("M1")
    await held.reached()
    await asyncio.sleep(59)
    assert letter.answers == []
    await asyncio.sleep(20)
    assert letter.answers == ["unanswered"]
    held.answer()
    await asyncio.sleep(1)
    assert letter.answers == ["unanswered", "gone"]
    assert not journal.state.messages
    assert Voided("M1") in list(desk.archive.records())


@in_virtual_time
async def test_a_session_that_is_gone_has_its_message_voided() -> None:
    desk = Desk()
    journal = await desk.open()
    held = desk.store.hold_next("put_new")
    letter = desk.letter("M1")
    await held.reached()
    letter.is_gone = True
    held.answer()
    await asyncio.sleep(0.1)
    assert letter.answers == ["gone"]
    assert not journal.state.messages
    assert names(list(await records_in(desk.store, 2))) == ["Voided"]


@in_virtual_time
async def test_a_report_lies_in_the_segment_of_what_it_reports_also_after_a_failed_put() -> None:
    desk = Desk()
    journal = await desk.open()
    desk.letter("M1")
    await settle_down()
    desk.store.decide_next("put_new", Fate.FAILED)
    report = Letter("R1", desk.ledger)
    durable: list[str] = []
    journal.append(delivered("M1"), lambda: durable.append("settled"), report=report)
    await asyncio.sleep(1)
    assert durable == ["settled"]
    assert report.answers == ["250"]
    together = [records for records in desk.archive.segments() if delivered("M1") in records]
    assert [names(list(records)) for records in together] == [["Settled", "Accepted"]]


@in_virtual_time
async def test_another_owner_in_the_slot_ends_it_at_once_and_hands_over_what_never_landed() -> None:
    desk = Desk()
    journal = await desk.open()
    lay(desk.store, 1, Adopted(2, "mx2", "life", "", "", ""), epoch=2)
    in_flight = desk.store.hold_next("put_new")
    first = desk.letter("M1", claims=(0,))
    await in_flight.reached()
    behind = desk.letter("M2")
    durable: list[str] = []
    journal.append(Held("M0"), lambda: durable.append("never"))
    in_flight.answer()
    await settle_down()
    assert desk.orphans == [first, behind]
    assert (first.answers, behind.answers, durable) == ([], [], [])
    assert len(desk.fenced) == 1
    assert journal.is_fenced
    assert not journal.may_deliver()
    late = desk.letter("M3")
    assert late.answers == ["451"]
    await asyncio.sleep(100)
    assert slots_of(desk.store) == [0, 1], "it touches the queue no more"


@in_virtual_time
async def test_doubtful_durability_counts_as_fenced_and_leaves_the_put_unanswered() -> None:
    desk = Desk()
    journal = await desk.open()
    held = desk.store.hold_next("put_new")
    first = desk.letter("M1")
    await held.reached()
    behind = desk.letter("M2")
    held.spoil()
    await settle_down()
    assert journal.is_fenced
    assert first.answers == ["unanswered"]
    assert desk.orphans == [behind]
    await asyncio.sleep(100)
    assert slots_of(desk.store) == [0, 1]


@in_virtual_time
async def test_what_was_left_unanswered_before_is_not_left_twice() -> None:
    desk = Desk()
    await desk.open()
    held = desk.store.hold_next("put_new")
    first = desk.letter("M1")
    await held.reached()
    await asyncio.sleep(61)
    held.spoil()
    await settle_down()
    assert first.answers == ["unanswered"]


@in_virtual_time
async def test_stopping_ends_also_when_the_queue_was_lost() -> None:
    desk = Desk()
    journal = await desk.open()
    lay(desk.store, 1, Adopted(2, "mx2", "life", "", "", ""), epoch=2)
    await journal.stop(Closed())
    assert journal.is_fenced
    assert slots_of(desk.store) == [0, 1]


@in_virtual_time
async def test_a_journal_that_is_abandoned_writes_no_more() -> None:
    desk = Desk()
    journal = await desk.open()
    letter = desk.letter("M1")
    journal.abandon()
    await asyncio.sleep(100)
    assert letter.answers == []
    assert slots_of(desk.store) == [0]
    assert desk.fenced == []


@in_virtual_time
async def test_nothing_is_lost_or_contradicted_while_the_store_goes_and_comes() -> None:
    desk = Desk(msgspec.structs.replace(SETTINGS, commit_wait_s=1.0, answer_timeout_s=5.0))
    await desk.open()
    for n in range(200):
        desk.letter(f"M{n}")
        if n % 40 == 10:
            desk.store.cut(hang=n % 80 == 10)
        if n % 40 == 30:
            desk.store.restore()
        await asyncio.sleep(0.4)
    desk.store.restore()
    await asyncio.sleep(30)
    assert await audit(desk.ledger, desk.archive) == NOTHING
    assert {*desk.ledger.acknowledged, *desk.ledger.refused, *desk.ledger.unanswered} == {f"M{n}" for n in range(200)}
    assert len(desk.ledger.acknowledged) > 100
    assert desk.ledger.refused
    assert desk.ledger.unanswered
