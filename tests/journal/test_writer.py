"""The writer on a store that is well: one segment in flight, and an answer only when it is known."""

from __future__ import annotations

import asyncio

import pytest
from sim.letters import Letter
from sim.loop import in_virtual_time, until
from sim.store_faults import Fate
from tests.journal.rig import HELLO, QUEUE, Desk, header_in, records_in, settle_down, slots_of

from nightmail.journal.batch import Move
from nightmail.journal.reading import replay
from nightmail.journal.records import (
    DELIVERED,
    Accepted,
    Claimed,
    Closed,
    Held,
    Moved,
    Settled,
    Settlement,
    Tick,
    Voided,
    Yielded,
)
from nightmail.journal.segment import INLINE_BODY_BYTES, SEGMENT_LIMIT_BYTES
from nightmail.journal.state import LiveMessage
from nightmail.journal.writer import Journal

MS = 0.001


def delivered(message_id: str) -> Settled:
    return Settled(message_id, (Settlement(0, DELIVERED),))


def names(records: list[object]) -> list[str]:
    return [type(record).__name__ for record in records]


@in_virtual_time
async def test_a_lone_message_costs_exactly_one_put_before_its_250() -> None:
    desk = Desk()
    await desk.open()
    before = desk.puts()
    letter = desk.letter("M1")
    await settle_down()
    assert letter.answers == ["250"]
    assert desk.puts() - before == 1
    assert desk.clock.elapsed() == pytest.approx(1_000.0), "it waited for nobody"
    assert names(list(await records_in(desk.store, 1))) == ["Accepted"]


@in_virtual_time
async def test_one_segment_is_in_flight_and_all_that_arrives_meanwhile_shares_the_next() -> None:
    desk = Desk()
    await desk.open()
    held = desk.store.hold_next("put_new")
    first = desk.letter("M0")
    await held.reached()
    others = [desk.letter(f"M{n}") for n in range(1, 50)]
    await asyncio.sleep(0.4)
    assert desk.puts() == 1
    assert first.answers == []
    held.answer()
    await settle_down()
    assert all(letter.answers == ["250"] for letter in [first, *others])
    assert slots_of(desk.store) == [0, 1, 2]
    assert len(await records_in(desk.store, 2)) == 49


@in_virtual_time
async def test_results_ride_with_the_next_segment() -> None:
    desk = Desk()
    journal = await desk.open()
    desk.letter("M1")
    await settle_down()
    durable: list[float] = []
    journal.append(delivered("M1"), lambda: durable.append(desk.clock.elapsed()))
    await asyncio.sleep(2 * MS)
    desk.letter("M2")
    await asyncio.sleep(20 * MS)
    assert names(list(await records_in(desk.store, 2))) == ["Settled", "Accepted"]
    assert durable == [pytest.approx(1_000.002)]
    assert slots_of(desk.store) == [0, 1, 2], "what rode along needs no segment of its own"


@in_virtual_time
async def test_results_with_nothing_to_ride_on_are_written_within_5_ms() -> None:
    desk = Desk()
    journal = await desk.open()
    desk.letter("M1")
    await settle_down()
    durable: list[float] = []
    journal.append(delivered("M1"), lambda: durable.append(desk.clock.elapsed()))
    await asyncio.sleep(4 * MS)
    journal.append(Held("M1"))
    await asyncio.sleep(2 * MS)
    assert durable == [pytest.approx(1_000.005)]
    assert names(list(await records_in(desk.store, 2))) == ["Settled", "Held"]


@in_virtual_time
async def test_results_behind_a_slow_put_are_written_within_a_millisecond_of_its_end() -> None:
    desk = Desk()
    journal = await desk.open()
    held = desk.store.hold_next("put_new")
    desk.letter("M1")
    await held.reached()
    durable: list[float] = []
    journal.append(Held("M1"), lambda: durable.append(desk.clock.elapsed()))
    await asyncio.sleep(48.5 * MS)
    held.answer()
    await asyncio.sleep(1 * MS)
    await settle_down()
    (at,) = durable
    assert 1_000.0485 <= at <= 1_000.0495


@in_virtual_time
async def test_an_urgent_record_waits_for_nobody() -> None:
    desk = Desk()
    journal = await desk.open()
    desk.letter("M1")
    await settle_down()
    durable: list[float] = []
    journal.append(Claimed("M1", (0,)), lambda: durable.append(desk.clock.elapsed()), urgent=True)
    await settle_down()
    assert durable == [1_000.0]


@in_virtual_time
async def test_an_idle_journal_ticks_before_its_promise_is_over_and_a_busy_one_three_times_a_lease() -> None:
    desk = Desk()
    await desk.open()
    await asyncio.sleep(1.1)
    assert slots_of(desk.store) == [0, 1], "what it was opened with promised a lease"
    assert header_in(desk.store, 1).promise_ms == 10_000
    assert await records_in(desk.store, 1) == [Tick()]
    await asyncio.sleep(20)
    assert len(slots_of(desk.store)) == 6
    desk.is_busy = True
    await asyncio.sleep(5)
    busy_from = len(slots_of(desk.store))
    await asyncio.sleep(10)
    assert 9 <= len(slots_of(desk.store)) - busy_from <= 11
    assert header_in(desk.store, slots_of(desk.store)[-1]).promise_ms == 3_000


@in_virtual_time
async def test_the_right_to_deliver_begins_with_the_first_attempt_of_the_put() -> None:
    desk = Desk()
    journal = await desk.open()
    desk.is_busy = True
    held = desk.store.hold_next("put_new")
    desk.letter("M1", claims=(0,))
    await held.reached()
    await asyncio.sleep(2)
    held.lose()
    again, tick = desk.store.hold_next("put_new"), desk.store.hold_next("put_new")
    await again.reached()
    again.answer()
    await tick.reached()
    assert journal.may_deliver()
    await asyncio.sleep(0.6)
    assert journal.may_deliver()
    await asyncio.sleep(0.1)
    assert not journal.may_deliver(), "2.7 s after the put was begun, though 0.7 after it was known"


@in_virtual_time
async def test_a_claim_is_promised_for_a_lease_only() -> None:
    desk = Desk()
    journal = await desk.open()
    await asyncio.sleep(2)
    journal.append(Claimed("M1", (0,)), urgent=True)
    await settle_down()
    assert header_in(desk.store, journal.next_slot - 1).promise_ms == 3_000
    desk.letter("M2", claims=(0,))
    await settle_down()
    assert header_in(desk.store, journal.next_slot - 1).promise_ms == 3_000
    desk.letter("M3")
    await settle_down()
    assert header_in(desk.store, journal.next_slot - 1).promise_ms == 10_000


@in_virtual_time
async def test_a_full_backlog_goes_into_several_segments_none_above_its_limit() -> None:
    desk = Desk()
    await desk.open()
    body = b"x" * INLINE_BODY_BYTES
    held = desk.store.hold_next("put_new")
    letters = [desk.letter("M0", body=body)]
    await held.reached()
    letters += [desk.letter(f"M{n}", body=body) for n in range(1, 21)]
    held.answer()
    await until(lambda: all(letter.answers == ["250"] for letter in letters))
    sizes = [len(data) for _, data in desk.archive.landed]
    assert max(sizes) <= SEGMENT_LIMIT_BYTES
    assert 4 <= len(sizes) <= 6
    found = await replay(desk.store, QUEUE)
    assert list(found.state.messages) == [letter.id for letter in letters]


@in_virtual_time
async def test_a_backlog_without_end_is_refused() -> None:
    desk = Desk()
    await desk.open()
    held = desk.store.hold_next("put_new")
    desk.letter("FIRST")
    await held.reached()
    letters = [desk.letter(f"M{n}", body=b"") for n in range(10_001)]
    assert letters[-1].answers == ["451"]
    assert letters[-2].answers == []
    held.answer()
    await until(lambda: letters[-2].answers == ["250"])


@in_virtual_time
async def test_stopping_writes_down_what_waits_and_then_the_last_record() -> None:
    desk = Desk()
    journal = await desk.open()
    letter = desk.letter("M1")
    journal.append(Held("M1"))
    await journal.stop(Yielded())
    assert letter.answers == ["250"]
    found = await replay(desk.store, QUEUE)
    assert found.state.is_yielded
    assert list(found.state.messages) == ["M1"]
    assert names(list(await records_in(desk.store, found.tail))) == ["Yielded"]
    assert not journal.may_deliver(), "who gave a queue up delivers nothing more of it"
    assert desk.letter("M2").answers == ["451"]
    before = desk.puts()
    await asyncio.sleep(100)
    assert desk.puts() == before


@in_virtual_time
async def test_what_a_stop_calls_for_stands_before_its_last_record() -> None:
    desk = Desk()
    journal = await desk.open()
    letter = desk.letter("M1")
    letter.is_gone = True
    await journal.stop(Yielded())
    found = await replay(desk.store, QUEUE)
    assert found.state.is_yielded
    assert not found.state.messages, "its client was gone, so it was voided before the queue was given up"


@in_virtual_time
async def test_a_journal_with_nothing_to_write_stops_with_its_last_record_only() -> None:
    desk = Desk()
    journal = await desk.open()
    before = desk.puts()
    await journal.stop(Yielded())
    assert desk.puts() - before == 1


@in_virtual_time
async def test_the_next_put_is_under_way_before_the_deliveries_of_the_last_begin() -> None:
    desk = Desk()
    journal = await desk.open()
    first, behind = desk.store.hold_next("put_new"), desk.store.hold_next("put_new")
    begun: list[bool] = []

    class Begun(Letter):
        def begin(self, message: LiveMessage) -> None:
            begun.append(behind.is_reached)

    letter = Begun("M1", desk.ledger)
    journal.accept(letter)
    await first.reached()
    desk.letter("M2")
    first.answer()
    await settle_down()
    assert letter.answers == ["250"]
    assert begun == [True], "while the next put hangs, not before it"
    behind.answer()


class Broken(Letter):
    """A message whose delivery can't begin for a reason that nobody foresaw."""

    def begin(self, message: LiveMessage) -> None:
        raise RuntimeError("nobody foresaw this")


@in_virtual_time
async def test_a_delivery_that_cannot_begin_ends_the_writer_also_while_the_next_put_hangs() -> None:
    desk = Desk()
    journal = await desk.open()
    first, behind = desk.store.hold_next("put_new"), desk.store.hold_next("put_new")
    journal.accept(Broken("M1", desk.ledger))
    await first.reached()
    desk.letter("M2")
    first.answer()
    with pytest.raises(RuntimeError, match="nobody foresaw"):
        await asyncio.wait_for(desk.writing, 1)
    assert behind.is_reached


@in_virtual_time
async def test_a_message_without_a_claim_is_promised_for_a_lease_only_before_its_delivery_begins() -> None:
    desk = Desk()
    journal = await desk.open()
    first = desk.store.hold_next("put_new")
    desk.letter("M1")
    await first.reached()
    journal.append(Held("M9"), urgent=True)
    first.answer()
    await settle_down()
    assert header_in(desk.store, 2).promise_ms == desk.settings.lease_s * 1000


@in_virtual_time
async def test_nothing_is_written_behind_the_last_record_and_of_two_the_first_is_written() -> None:
    desk = Desk()
    journal = await desk.open()
    held = desk.store.hold_next("put_new")
    stopping = asyncio.ensure_future(journal.stop(Closed()))
    await held.reached()
    journal.append(Held("M9"), urgent=True)
    again = asyncio.ensure_future(journal.stop(Yielded()))
    held.answer()
    await asyncio.gather(stopping, again)
    tail = slots_of(desk.store)[-1]
    assert names(list(await records_in(desk.store, tail))) == ["Closed"]


@in_virtual_time
async def test_a_last_record_that_could_not_be_put_is_put_alone_again() -> None:
    desk = Desk()
    journal = await desk.open()
    desk.store.decide_next("put_new", Fate.FAILED)
    stopping = asyncio.ensure_future(journal.stop(Yielded()))
    await settle_down()
    journal.append(Held("M9"))
    await stopping
    tail = slots_of(desk.store)[-1]
    assert names(list(await records_in(desk.store, tail))) == ["Yielded"]


@in_virtual_time
async def test_a_header_names_the_floor_that_was_known_before_it() -> None:
    desk = Desk()
    journal = await desk.open()
    desk.letter("M1")
    await settle_down()
    desk.letter("M2")
    await settle_down()
    journal.append(Voided("M1"), urgent=True)
    await settle_down()
    assert header_in(desk.store, 3).floor == 1
    journal.append(Voided("M2"), urgent=True)
    await settle_down()
    assert header_in(desk.store, 4).floor == 2
    await asyncio.sleep(11)
    assert header_in(desk.store, journal.next_slot - 1).floor == journal.next_slot - 1


@in_virtual_time
async def test_a_moved_message_stands_before_the_records_of_its_segment() -> None:
    desk = Desk()
    journal = await desk.open()
    letter = desk.letter("M1")
    await settle_down()
    message = journal.state.messages["M1"]
    record = (await records_in(desk.store, 1))[0]
    assert isinstance(record, Accepted)
    journal.append(Claimed("M1", (0,)))
    journal.move(Move(message, message.slot, record, HELLO))
    await settle_down()
    assert names(list(await records_in(desk.store, 2))) == ["Moved", "Claimed"]
    assert message.claimed == (0,)
    assert (letter.message, message.slot) == (message, 2)
    journal.append(Voided("M1"), urgent=True)
    journal.move(Move(message, 2, record, HELLO))
    await settle_down()
    journal.move(Move(message, 2, record, HELLO))
    await settle_down()
    assert not any(isinstance(found, Moved) for found in await records_in(desk.store, journal.next_slot - 1))
    assert not (await replay(desk.store, QUEUE)).state.messages


@in_virtual_time
async def test_what_was_moved_since_is_not_moved_again() -> None:
    desk = Desk()
    journal = await desk.open()
    desk.letter("M1")
    await settle_down()
    message = journal.state.messages["M1"]
    record = (await records_in(desk.store, 1))[0]
    assert isinstance(record, Accepted)
    held = desk.store.hold_next("put_new")
    journal.move(Move(message, 1, record, HELLO))
    await held.reached()
    journal.move(Move(message, 1, record, HELLO))
    held.answer()
    await settle_down()
    assert message.slot == 2
    assert await records_in(desk.store, 3) == [Tick()]


@in_virtual_time
async def test_what_is_live_is_what_a_replay_finds() -> None:
    desk = Desk()
    journal = await desk.open()
    for n in range(30):
        desk.letter(f"M{n}", claims=(0,) if n % 2 else ())
        if n % 3:
            journal.append(delivered(f"M{n - 2}"))
        await asyncio.sleep(3 * MS)
    await asyncio.sleep(0.1)
    found = await replay(desk.store, QUEUE)
    assert found.tail == journal.next_slot - 1
    assert [(m.id, m.slot, m.offset, m.progress()) for m in found.state.oldest()] == [
        (m.id, m.slot, m.offset, m.progress()) for m in journal.state.oldest()
    ]


@pytest.mark.parametrize("fault", ["hangs", "has no room"])
def test_a_journal_is_cut_off_once_no_put_got_through_for_three_leases_and_the_longest_wait(fault: str) -> None:
    @in_virtual_time
    async def story() -> None:
        desk = Desk()
        await desk.open()
        await asyncio.sleep(60)
        assert not desk.journal.is_cut_off
        room = desk.store.objects.capacity_bytes
        if fault == "hangs":
            desk.store.cut(hang=True)
        else:
            desk.store.objects.capacity_bytes = 0
        desk.journal.append(delivered("M1"))
        await asyncio.sleep(8)
        assert not desk.journal.is_cut_off
        await asyncio.sleep(4)
        assert desk.journal.is_cut_off
        desk.store.restore()
        desk.store.objects.capacity_bytes = room
        await until(lambda: not desk.journal.is_cut_off, within_s=10)

    story()


@in_virtual_time
async def test_who_waits_behind_a_put_that_hangs_wakes_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    journal = await desk.open()
    looks: list[float] = []
    lingered = Journal._lingered

    def counted(self: Journal) -> None:
        looks.append(desk.clock.elapsed())
        lingered(self)

    monkeypatch.setattr(Journal, "_lingered", counted)
    held = desk.store.hold_next("put_new")
    desk.letter("M1")
    await held.reached()
    journal.append(Claimed("M1", (0,)))
    await asyncio.sleep(1)
    assert looks == []
    held.answer()
    await asyncio.sleep(20 * MS)
    assert names(list(await records_in(desk.store, 2))) == ["Claimed"]
