"""A queue that is ours moves: every message waits in one place, every slot comes back, nothing stands still."""

from __future__ import annotations

import asyncio

import google_crc32c
import msgspec
import pytest
from sim.checkers import NOTHING
from sim.life import SINK, Client
from sim.loop import in_virtual_time, until
from sim.store_faults import Fate
from tests.switch.scene import QUICK, Stage, newest, soon, to

from nightmail.delivery.job import Outcome
from nightmail.journal.keys import body_key, slot_key
from nightmail.journal.records import AMBIGUOUS, WITHDRAWN, Accepted, BodyPlace, Claimed, Held, Resumed
from nightmail.mail.reply import Reply


@in_virtual_time
async def test_a_fresh_message_is_claimed_as_it_is_accepted_and_settled_in_the_next_segment() -> None:
    stage = Stage()
    life = await stage.life()
    life.submit("M1")
    await until(lambda: life.is_idle)
    accepted = [record for record in stage.records(Accepted) if isinstance(record, Accepted)]
    assert [record.claimed for record in accepted] == [(0,)]
    assert stage.records(Claimed) == []
    assert len(stage.archive.landed) == 3
    await life.stop()


@in_virtual_time
async def test_who_finds_no_slot_waits_unclaimed_and_is_claimed_when_there_is_one() -> None:
    stage = Stage()
    life = await stage.life(msgspec.structs.replace(QUICK, destination_connections=2))
    life.sink.holds = True
    for n in range(5):
        life.submit(f"M{n}")
    await until(lambda: len(life.sink.held) == 2)
    await asyncio.sleep(1)
    assert len(life.sink.held) == 2
    assert life.parts.destinations.active == 2
    life.sink.holds = False
    for job in list(life.sink.held):
        life.sink.transmit(job)
    await until(lambda: life.is_idle)
    claimed = {record.id for record in stage.records(Claimed) if isinstance(record, Claimed)}
    assert claimed == {"M2", "M3", "M4"}
    assert life.parts.destinations.active == 0
    assert await stage.findings() == NOTHING
    await life.stop()


@in_virtual_time
async def test_slots_reserved_for_a_put_that_failed_come_back() -> None:
    stage = Stage()
    life = await stage.life()
    stage.store.decide_next("put_new", Fate.FAILED)
    client = life.submit("M1")
    await until(lambda: client.answer == "451")
    assert life.parts.destinations.active == 0
    await life.stop()


@in_virtual_time
async def test_slots_reserved_for_a_client_that_is_gone_come_back() -> None:
    stage = Stage()
    life = await stage.life()
    client = life.submit("M1")
    client.is_gone = True
    await until(lambda: life.is_idle and bool(stage.ledger.gone))
    assert life.parts.destinations.active == 0
    assert not life.sink.jobs
    await life.stop()


@in_virtual_time
async def test_slots_reserved_for_a_put_in_doubt_come_back() -> None:
    stage = Stage()
    life = await stage.life()
    stage.store.decide_next("put_new", Fate.BROKEN)
    client = life.submit("M1")
    await until(lambda: client.answer == "unanswered")
    assert life.parts.destinations.active == 0
    await soon(lambda: life.switch.generations.is_complete and life.is_idle)
    assert stage.ledger.delivered["M1", 0] == 1
    assert await stage.findings() == NOTHING
    await life.stop()


@in_virtual_time
async def test_what_is_put_off_is_tried_again_at_its_time_and_counts() -> None:
    stage = Stage()
    life = await stage.life()
    life.sink.answers["r0@example.net"] = "deferred"
    life.submit("M1")
    await asyncio.sleep(5)
    assert len(life.sink.jobs) == 1
    await asyncio.sleep(8)
    assert len(life.sink.jobs) == 2
    life.sink.answers.clear()
    await soon(lambda: life.is_idle)
    assert [record.attempts for record in stage.settled("M1")][:2] == [1, 2]
    assert await stage.findings() == NOTHING
    await life.stop()


@in_virtual_time
async def test_an_ambiguous_end_is_recorded_and_tried_again_or_held() -> None:
    stage = Stage()
    life = await stage.life()
    life.sink.answers |= {"r0@example.net": "ambiguous", "held@example.net": "ambiguous"}
    life.routes.routes["held@example.net"] = msgspec.structs.replace(SINK, on_ambiguous="hold", destination="held")
    life.submit("M1")
    life.submit("M2", envelope=to("held@example.net"))
    await asyncio.sleep(1)
    life.sink.answers.clear()
    await asyncio.sleep(100)
    assert stage.ledger.delivered["M1", 0] == 2
    assert stage.ledger.delivered["M2", 0] == 1
    assert newest(life).journal.state.messages["M2"].held
    assert [stage.settled(name)[0].results[0].outcome for name in ("M1", "M2")] == [AMBIGUOUS, AMBIGUOUS]
    assert await stage.findings() == NOTHING
    await life.stop()


@in_virtual_time
async def test_a_held_message_waits_until_it_is_released() -> None:
    stage = Stage()
    life = await stage.life()
    life.sink.answers["r0@example.net"] = "deferred"
    life.submit("M1")
    await asyncio.sleep(1)
    queue = newest(life)
    message = queue.journal.state.messages["M1"]
    queue.waiting.cancel(message)
    queue.journal.append(Held("M1"), urgent=True)
    life.sink.answers.clear()
    await asyncio.sleep(100)
    assert len(life.sink.jobs) == 1
    queue.journal.append(Resumed("M1"), lambda: queue.resume(message), urgent=True)
    await until(lambda: life.is_idle)
    assert stage.ledger.delivered["M1", 0] == 1
    await life.stop()


@in_virtual_time
async def test_a_held_message_is_still_held_in_the_next_life() -> None:
    stage = Stage()
    life = await stage.life()
    life.sink.answers["r0@example.net"] = "deferred"
    life.submit("M1")
    await asyncio.sleep(1)
    queue = newest(life)
    queue.waiting.cancel(queue.journal.state.messages["M1"])
    queue.journal.append(Held("M1"), urgent=True)
    await asyncio.sleep(1)
    await life.stop()
    following = await stage.life()
    await asyncio.sleep(100)
    assert not following.sink.jobs
    adopted = next(queue for queue in following.switch.queues if queue.name == "mx1.0.1")
    assert adopted.journal.state.messages["M1"].held
    await following.stop()


@in_virtual_time
async def test_an_attempt_whose_right_has_lapsed_is_taken_back_and_made_again() -> None:
    stage = Stage()
    store = stage.store
    life = await stage.life()
    life.sink.holds = True
    client = life.submit("M1")
    await until(lambda: bool(life.sink.held))
    store.cut(hang=True)
    await asyncio.sleep(5)
    life.sink.holds = False
    life.sink.transmit(life.sink.held[0])
    assert stage.ledger.delivered["M1", 0] == 0
    store.restore()
    await soon(lambda: life.is_idle)
    assert client.answer == "250"
    assert stage.ledger.delivered["M1", 0] == 1
    outcomes = [result.outcome for record in stage.settled("M1") for result in record.results]
    assert outcomes[0] == WITHDRAWN
    assert await stage.findings() == NOTHING
    await life.stop()


@in_virtual_time
async def test_what_was_served_before_the_right_lapsed_stays_served() -> None:
    stage = Stage()
    life = await stage.life()
    life.sink.holds = True
    life.submit("M1", recipients=2)
    await until(lambda: bool(life.sink.held))
    job = life.sink.held[0]
    stage.ledger.deliver("M1", 0)
    newest(life).journal._right_until = 0.0
    assert not job.may_finish()
    life.sink.holds = False
    job.finished([
        Outcome(0, "delivered", Reply(250, "2.0.0", "ok")), Outcome(1, "deferred", Reply(451, "4.3.0", "right lapsed")),
    ])  # fmt: skip
    await soon(lambda: life.is_idle)
    assert stage.ledger.delivered["M1", 0] == 1
    assert stage.ledger.delivered["M1", 1] == 1
    await life.stop()


@in_virtual_time
async def test_a_message_that_cannot_be_read_is_held_and_the_others_go_on() -> None:
    stage = Stage()
    life = await stage.life()
    life.sink.answers["r0@example.net"] = "deferred"
    life.submit("BAD")
    await asyncio.sleep(0.1)
    life.submit("GOOD")
    await asyncio.sleep(1)
    queue = newest(life)
    key = slot_key(queue.name, queue.journal.state.messages["BAD"].slot)
    stage.archive.contents[key] = stage.archive.contents[key][:-1] + b"?"
    life.sink.answers.clear()
    await asyncio.sleep(30)
    assert stage.ledger.delivered["GOOD", 0] == 1
    assert stage.ledger.delivered["BAD", 0] == 0
    assert queue.journal.state.messages["BAD"].held
    assert life.parts.destinations.active == 0
    await life.stop()


@in_virtual_time
async def test_a_store_that_cannot_be_read_for_a_while_only_delays() -> None:
    stage = Stage()
    life = await stage.life()
    life.sink.answers["r0@example.net"] = "deferred"
    life.submit("M1")
    await asyncio.sleep(1)
    life.sink.answers.clear()
    for _ in range(3):
        stage.store.decide_next("get_range", Fate.FAILED)
    await soon(lambda: life.is_idle)
    assert stage.ledger.delivered["M1", 0] == 1
    await life.stop()


@in_virtual_time
async def test_stopping_gives_the_queue_up_without_sending_what_was_only_claimed() -> None:
    stage = Stage()
    life = await stage.life(msgspec.structs.replace(QUICK, destination_connections=1))
    life.sink.holds = True
    life.submit("M1")
    await until(lambda: bool(life.sink.held))
    life.submit("M2")
    await asyncio.sleep(0.1)
    stopping = asyncio.ensure_future(life.stop())
    await asyncio.sleep(0.1)
    life.sink.transmit(life.sink.held[0])
    await stopping
    assert [job.id for job in life.sink.jobs] == ["M1"]
    following = await stage.life()
    await soon(lambda: following.is_idle and following.switch.generations.is_complete)
    assert stage.ledger.delivered == {("M1", 0): 1, ("M2", 0): 1}
    assert not any(result.outcome == AMBIGUOUS for r in stage.settled("M2") for result in r.results)
    await following.stop()


@pytest.mark.parametrize("end", ["refused", "voided", "delivered"])
@in_virtual_time
async def test_the_body_of_its_own_of_a_message_that_is_over_goes_after_a_while(end: str) -> None:
    stage = Stage()
    life = await stage.life()
    key = body_key("mx1.0.1", "BIG")
    stage.archive.contents[key] = b"large body"
    client = Client(stage.ledger, life.mortality, "BIG", 1)
    client.is_gone = end == "voided"
    if end == "refused":
        stage.store.decide_next("put_new", Fate.FAILED)
    place = BodyPlace(10, google_crc32c.value(b"large body"), 0, key)
    life.switch.submit("BIG", to("r0@example.net"), b"", place, client)
    await asyncio.sleep(59)
    assert key in stage.archive.contents
    await asyncio.sleep(10)
    assert key not in stage.archive.contents
    assert stage.ledger.delivered["BIG", 0] == (end == "delivered")
    await life.stop()


@in_virtual_time
async def test_what_was_under_way_at_a_death_is_told_of_and_sent_again_without_waiting_for_a_look() -> None:
    stage = Stage()
    dead = await stage.life()
    dead.sink.holds = True
    for n in range(20):
        dead.submit(f"M{n:02}")
    await until(lambda: len(dead.sink.held) == 20)
    await dead.crash()
    life = await stage.life()
    await until(lambda: len(life.switch.queues) == 2, step_s=0.001)
    adopted_at = life.parts.clock.elapsed()
    await until(lambda: len(life.sink.jobs) == 20, step_s=0.001)
    assert life.parts.clock.elapsed() - adopted_at < 0.1
    doubts = [each.outcome for n in range(20) for each in stage.settled(f"M{n:02}")[0].results]
    assert doubts == [AMBIGUOUS] * 20
    await until(lambda: life.is_idle)
    assert await stage.findings() == NOTHING
    await life.stop()
