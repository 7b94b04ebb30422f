"""Senders are told once, in the segment that settles what they are told, if they want to know."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from sim.checkers import NOTHING
from sim.life import SINK
from sim.loop import in_virtual_time, until
from sim.store_faults import Fate
from structlog.testing import capture_logs
from tests.switch.scene import QUICK, Stage, soon, to

from nightmail.journal.records import Accepted, Settled
from nightmail.mail.envelope import NOTIFY_DELAY, NOTIFY_FAILURE, NOTIFY_NEVER, NOTIFY_SUCCESS
from nightmail.mail.reply import Reply
from nightmail.routing.route import Route
from nightmail.routing.snapshot import Accepted as RouteTaken

FAILS = "fails@example.net"
OTHER = Route(kind="smtp", host="other", port=25, destination="smtp:[other]:25")
BOX = Route(kind="maildir", path="/box", destination="maildir")


@in_virtual_time
async def test_a_failure_is_told_in_the_segment_that_settles_it() -> None:
    stage = Stage()
    life = await stage.life()
    life.sink.answers[FAILS] = "failed"
    life.submit("M1", envelope=to(FAILS, "fine@example.net"))
    await until(lambda: life.is_idle)
    reports = stage.reports()
    assert [report.envelope.recipients[0].address for report in reports] == ["sender@example.org"]
    together = [rs for rs in stage.archive.segments() if any(isinstance(r, Settled) and r.id == "M1" for r in rs)]
    assert any(reports[0] in records for records in together)
    text = stage.report_text(reports[0])
    assert "Final-Recipient: rfc822; fails@example.net" in text
    assert "550" in text
    assert "fine@example.net" not in text
    assert stage.ledger.delivered[reports[0].id, 0] == 1
    assert await stage.findings() == NOTHING
    await life.stop()


@in_virtual_time
async def test_a_report_goes_to_whom_mail_for_its_address_goes() -> None:
    stage = Stage()
    life = await stage.life()
    life.routes.taken["sender@example.org"] = RouteTaken(("one@example.org", "two@example.org"), "sender@example.org")
    life.sink.answers[FAILS] = "failed"
    life.submit("M1", envelope=to(FAILS))
    await until(lambda: life.is_idle)
    [report] = stage.reports()
    told = [(each.address, each.orig_to) for each in report.envelope.recipients]
    assert told == [("one@example.org", "sender@example.org"), ("two@example.org", "sender@example.org")]
    await life.stop()


@in_virtual_time
async def test_a_sender_that_does_not_exist_gets_no_report() -> None:
    stage = Stage()
    life = await stage.life()
    life.routes.taken["sender@example.org"] = Reply(550, "5.1.1", "no such user here")
    life.sink.answers[FAILS] = "failed"
    with capture_logs() as logs:
        life.submit("M1", envelope=to(FAILS))
        await until(lambda: life.is_idle)
    assert stage.reports() == []
    assert [line["to"] for line in logs if line["event"] == "report not made"] == ["<sender@example.org>"]
    assert stage.settled("M1")
    await life.stop()


@in_virtual_time
async def test_recipients_that_fail_in_one_attempt_are_told_in_one_report() -> None:
    stage = Stage()
    life = await stage.life()
    names = [f"r{n}@example.net" for n in range(3)]
    life.sink.answers |= dict.fromkeys(names, "failed")
    life.submit("M1", envelope=to(*names))
    await until(lambda: life.is_idle)
    assert len(stage.reports()) == 1
    await life.stop()


@in_virtual_time
async def test_attempts_that_fail_while_a_report_is_on_its_way_are_told_in_the_next_one_never_two_in_a_segment() -> (
    None
):
    stage = Stage()
    life = await stage.life()
    names = [f"r{n}@example.net" for n in range(5)]
    for n, name in enumerate(names):
        life.sink.answers[name] = "failed"
        life.routes.routes[name] = msgspec.structs.replace(SINK, destination=f"smtp:[h{n}]:25")
    life.sink.holds = True
    life.submit("M1", envelope=to(*names))
    await until(lambda: len(life.sink.held) == 5)
    life.sink.transmit(life.sink.held[0])
    held = stage.store.hold_next("put_new")
    await held.reached()
    for job in life.sink.held[1:]:
        life.sink.transmit(job)
    life.sink.holds = False
    await asyncio.sleep(0.1)
    held.answer()
    await until(lambda: life.is_idle)
    per_segment = [
        sum(isinstance(r, Accepted) and not r.envelope.sender for r in records) for records in stage.archive.segments()
    ]
    assert sum(per_segment) == 2
    assert max(per_segment) == 1
    assert await stage.findings() == NOTHING
    await life.stop()


@pytest.mark.parametrize(
    ("notify", "told"), [(0, 1), (NOTIFY_FAILURE, 1), (NOTIFY_NEVER, 0), (NOTIFY_SUCCESS, 0), (NOTIFY_DELAY, 0)]
)
@in_virtual_time
async def test_a_failure_is_told_to_who_wants_to_know_or_said_nothing(notify: int, told: int) -> None:
    stage = Stage()
    life = await stage.life()
    life.sink.answers[FAILS] = "failed"
    life.submit("M1", envelope=to(FAILS, notify=notify))
    await until(lambda: life.is_idle)
    assert len(stage.reports()) == told
    await life.stop()


@in_virtual_time
async def test_nobody_is_told_of_a_message_without_a_sender() -> None:
    stage = Stage()
    life = await stage.life()
    life.sink.answers[FAILS] = "failed"
    life.submit("M1", envelope=to(FAILS, sender=""))
    await until(lambda: life.is_idle)
    assert [report.id for report in stage.reports()] == ["M1"]
    await life.stop()


@pytest.mark.parametrize(
    ("route", "notify", "told"), [(BOX, NOTIFY_SUCCESS, 1), (BOX, 0, 0), (OTHER, NOTIFY_SUCCESS, 0)]
)
@in_virtual_time
async def test_a_success_is_told_on_request_by_who_delivers_last(route: Route, notify: int, told: int) -> None:
    stage = Stage()
    life = await stage.life()
    life.routes.routes["fine@example.net"] = route
    life.submit("M1", envelope=to("fine@example.net", notify=notify))
    await until(lambda: life.is_idle)
    assert len(stage.reports()) == told
    if told:
        assert "Action: delivered" in stage.report_text(stage.reports()[0])
    await life.stop()


@in_virtual_time
async def test_a_delay_is_told_once() -> None:
    stage = Stage()
    life = await stage.life(msgspec.structs.replace(QUICK, delay_report_s=45.0))
    life.sink.answers["slow@example.net"] = "deferred"
    life.submit("M1", envelope=to("slow@example.net"))
    await asyncio.sleep(40)
    assert not stage.reports()
    await asyncio.sleep(200)
    assert len(stage.reports()) == 1
    assert "Action: delayed" in stage.report_text(stage.reports()[0])
    assert [record.delay_reported for record in stage.settled("M1")].count(True) == 1
    await life.stop()


@in_virtual_time
async def test_what_expires_is_returned_once_and_is_over() -> None:
    stage = Stage()
    life = await stage.life()
    life.sink.answers["slow@example.net"] = "deferred"
    life.submit("M1", envelope=to("slow@example.net"))
    await soon(lambda: bool(stage.reports()), 400)
    await soon(lambda: life.is_idle)
    text = stage.report_text(stage.reports()[0])
    assert "Status: 4.4.7" in text
    assert len(stage.reports()) == 1
    assert await stage.findings() == NOTHING
    await life.stop()


@in_virtual_time
async def test_a_report_that_cannot_be_written_at_first_is_written_later_with_its_settlement() -> None:
    stage = Stage()
    life = await stage.life()
    life.sink.holds = True
    life.sink.answers[FAILS] = "failed"
    life.submit("M1", envelope=to(FAILS))
    await until(lambda: bool(life.sink.held))
    for _ in range(3):
        stage.store.decide_next("put_new", Fate.FAILED)
    life.sink.holds = False
    life.sink.transmit(life.sink.held[0])
    await until(lambda: life.is_idle)
    assert len(stage.reports()) == 1
    assert life.parts.destinations.active == 0, "every slot that was reserved came back"
    assert await stage.findings() == NOTHING
    await life.stop()
