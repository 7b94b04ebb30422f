"""A report whose recipient can't be looked up is not lost, and goes to nobody but those it is meant for (J13)."""

from __future__ import annotations

import asyncio

import pytest
from sim.checkers import NOTHING
from sim.life import Life
from sim.loop import in_virtual_time, until
from tests.switch.scene import Stage, newest, soon, to
from tests.switch.test_lookups import FAILS, NOBODY, Directory

from nightmail.journal.records import AMBIGUOUS, DEFERRED, DELIVERED, FAILED, Accepted, Settled
from nightmail.mail.reply import Reply
from nightmail.routing.resolution import LEADS_NOWHERE
from nightmail.routing.snapshot import Accepted as Taken
from nightmail.switch.operations import Operations

SENDER = "sender@example.org"
THEM = Taken(("one@example.org", "two@example.org"), SENDER)


class Story:
    """A message fails for good while nobody can tell who its sender is."""

    def __init__(self) -> None:
        self.stage = Stage()

    async def adopt(self, *, out_of_reach: bool = True) -> tuple[Life, Directory]:
        life = self.stage.unborn()
        directory = Directory().join(life)
        directory.is_out_of_reach = out_of_reach
        directory.taken[SENDER] = THEM
        await life.start()
        return life, directory

    async def fail(self) -> tuple[Life, Directory]:
        life, directory = await self.adopt(out_of_reach=False)
        directory.known.add(FAILS)
        life.sink.answers[FAILS] = "failed"
        life.sink.holds = True
        life.submit("M1", envelope=to(FAILS))
        await until(lambda: bool(life.sink.held))
        directory.is_out_of_reach = True
        life.sink.transmit(life.sink.held[0])
        life.sink.holds = False
        await soon(lambda: bool(self.stage.reports()))
        return life, directory

    def sent(self) -> list[tuple[str, str]]:
        """To whom reports went, and on account of which address."""
        envelopes = {report.id: report.envelope for report in self.stage.reports()}
        return sorted(
            (envelopes[message_id].recipients[index].address, envelopes[message_id].recipients[index].orig_to)
            for message_id, index in self.stage.ledger.delivered
            if message_id in envelopes
        )

    def replies(self, report: Accepted) -> list[Reply | None]:
        return [result.reply for record in self.stage.settled(report.id) for result in record.results]

    def outcomes(self, report: Accepted) -> list[int]:
        return [result.outcome for record in self.stage.settled(report.id) for result in record.results]


@in_virtual_time
async def test_it_is_accepted_with_the_failure_and_sent_to_whom_its_recipient_stands_for_once_that_is_known() -> None:
    story = Story()
    life, directory = await story.fail()
    [report] = story.stage.reports()
    together = [rs for rs in story.stage.archive.segments() if any(isinstance(r, Settled) and r.id == "M1" for r in rs)]
    assert any(report in records for records in together)
    assert report.envelope.is_unexpanded
    await asyncio.sleep(100)
    assert story.sent() == []
    directory.is_out_of_reach = False
    await soon(lambda: life.is_idle)
    assert story.sent() == [("one@example.org", SENDER), ("two@example.org", SENDER)]
    first, second = story.stage.reports()
    assert (second.arrival, second.envelope.is_unexpanded) == (first.arrival, False)
    assert story.stage.report_text(second)
    ends = [rs for rs in story.stage.archive.segments() if any(isinstance(r, Settled) and r.id == first.id for r in rs)]
    assert second in ends[-1]
    assert await story.stage.findings() == NOTHING
    await life.stop()


@in_virtual_time
async def test_it_outlives_the_switch_that_made_it() -> None:
    story = Story()
    life, _ = await story.fail()
    await life.crash()
    for _ in range(2):
        life, _ = await story.adopt()
        await asyncio.sleep(100)
        assert story.sent() == []
        await life.crash()
    life, _ = await story.adopt(out_of_reach=False)
    await soon(lambda: bool(story.sent()) and life.is_idle)
    assert story.sent() == [("one@example.org", SENDER), ("two@example.org", SENDER)]
    assert max(story.stage.ledger.delivered.values()) == 1
    await life.stop()


@in_virtual_time
async def test_it_waits_for_a_list_that_leads_nowhere_and_ends_where_nobody_has_the_address() -> None:
    story = Story()
    life, directory = await story.fail()
    directory.is_out_of_reach = False
    directory.taken[SENDER] = LEADS_NOWHERE
    [report] = story.stage.reports()
    await soon(lambda: story.replies(report)[-1:] == [LEADS_NOWHERE])
    directory.taken[SENDER] = NOBODY
    await soon(lambda: life.is_idle)
    assert story.outcomes(report)[-1] == FAILED
    assert set(story.outcomes(report)[:-1]) == {DEFERRED}
    assert story.sent() == []
    await life.stop()


@in_virtual_time
async def test_it_expires_as_any_other_report_and_never_goes_to_the_address_as_it_is() -> None:
    story = Story()
    life, _ = await story.fail()
    await soon(lambda: life.is_idle)
    [report] = story.stage.reports()
    assert story.outcomes(report)[-1] == FAILED
    assert story.sent() == []
    await life.stop()


@in_virtual_time
async def test_one_that_an_operator_holds_stays_until_it_is_released() -> None:
    story = Story()
    life, directory = await story.fail()
    [report] = story.stage.reports()
    operations = Operations(lambda: life.switch.queues, life.clock, lambda: None)
    await operations.queue_act({"action": "hold", "selection": {"ids": [report.id]}})
    directory.is_out_of_reach = False
    await asyncio.sleep(1000)
    assert story.sent() == []
    await operations.queue_act({"action": "release", "selection": {"ids": [report.id]}})
    await soon(lambda: life.is_idle)
    assert len(story.sent()) == 2
    await life.stop()


@in_virtual_time
async def test_one_that_may_have_been_readdressed_in_a_slot_that_is_damaged_is_ambiguous_first() -> None:
    story = Story()
    life, directory = await story.fail()
    [report] = story.stage.reports()
    newest(life).journal.state.doubt_everything()
    await soon(lambda: AMBIGUOUS in story.outcomes(report))
    directory.is_out_of_reach = False
    await soon(lambda: life.is_idle)
    assert story.outcomes(report)[-1] == DELIVERED
    assert len(story.sent()) == 2
    await life.stop()


@pytest.mark.parametrize("sender", [SENDER, "other@example.com"])
@in_virtual_time
async def test_one_whose_recipient_is_known_is_never_marked(sender: str) -> None:
    stage = Stage()
    life = await stage.life()
    life.sink.answers[FAILS] = "failed"
    life.submit("M1", envelope=to(FAILS, sender=sender))
    await until(lambda: life.is_idle)
    assert [report.envelope.is_unexpanded for report in stage.reports()] == [False]
    await life.stop()
