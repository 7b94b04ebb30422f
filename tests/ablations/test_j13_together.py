"""J13: what belongs together is in one segment: a failure and its report, a delay report and its mark."""

from __future__ import annotations

import asyncio

import pytest
from sim.checkers import NOTHING, Findings
from sim.crashing import CrashPoint, Mortality
from sim.loop import run
from tests.ablations.cluster_stories import a_server_dies_once_a_failure_is_in_the_log
from tests.ablations.scenes import Scene
from tests.switch.scene import soon
from tests.switch.test_unknown_senders import Story as UnknownSender

from nightmail.journal.arrival import Arrival
from nightmail.journal.batch import Done
from nightmail.journal.records import Accepted, Record, Settled
from nightmail.journal.writer import Journal
from nightmail.queue.settings import QueueSettings
from nightmail.switch.reports import Reporter


async def a_message_fails(point: CrashPoint | None) -> tuple[Findings, int]:
    """A destination refuses a message for good, and the switch may die at any step of that."""
    scene = Scene()
    mortality = Mortality(point)
    life = await scene.life(1, mortality=mortality)
    if not mortality.crashed.is_set():
        life.sink.answers["r0@example.net"] = "failed"
        life.submit("M1")
        await asyncio.sleep(0.5)
    await life.crash()
    return await scene.findings(), mortality.steps


def found_anywhere() -> set[str]:
    """What is untold after a crash at any step."""
    steps = run(a_message_fails(None))[1]
    points = [CrashPoint(step, after) for step in range(1, steps + 1) for after in (False, True)]
    return {message_id for point in points for message_id in run(a_message_fails(point))[0].untold}


def test_a_failure_is_never_written_down_without_its_report() -> None:
    assert run(a_message_fails(None))[0] == NOTHING
    assert found_anywhere() == set()


def apart(self: Journal, record: Record, done: Done | None = None, *, report: Arrival | None, urgent: bool) -> None:
    """Settle first, and accept the report after that."""
    PLAIN(self, record, done, urgent=True)
    if report is not None:
        asyncio.get_running_loop().call_later(0.01, lambda: self.is_fenced or self.accept(report))


PLAIN = Journal.append


def settle_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every failure written down without its report."""
    monkeypatch.setattr(
        Journal, "append",
        lambda self, record, done=None, *, report=None, urgent=False: apart(
            self, record, done, report=report, urgent=urgent
        ),
    )  # fmt: skip


def test_a_report_in_another_segment_is_missing_after_a_crash_between_the_two(monkeypatch: pytest.MonkeyPatch) -> None:
    settle_apart(monkeypatch)
    assert found_anywhere() == {"M1"}


async def a_message_waits_long(point: CrashPoint | None) -> tuple[list[list[Record]], int]:
    """A message is deferred until its delay is reported, and the switch may die at any step."""
    scene = Scene()
    mortality = Mortality(point)
    life = await scene.life(1, mortality=mortality, queue_settings=QueueSettings(delay_report_s=100.0))
    if not mortality.crashed.is_set():
        life.sink.answers["r0@example.net"] = "deferred"
        life.submit("M1")
        await asyncio.sleep(400)
    await life.crash()
    return list(scene.archive.segments()), mortality.steps


def test_a_delay_report_and_its_mark_are_in_one_segment() -> None:
    segments, _ = run(a_message_waits_long(None))
    marked = [records for records in segments if any(isinstance(r, Settled) and r.delay_reported for r in records)]
    told = [records for records in segments if any(isinstance(r, Accepted) and not r.envelope.sender for r in records)]
    assert marked == told
    assert len(marked) == 1


def test_in_a_cluster_the_failure_is_never_there_without_its_report() -> None:
    assert run(a_server_dies_once_a_failure_is_in_the_log()) == NOTHING


def test_in_a_cluster_a_report_in_another_segment_is_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    settle_apart(monkeypatch)
    assert run(a_server_dies_once_a_failure_is_in_the_log()).untold == {"M1"}


async def a_sender_can_not_be_looked_up() -> list[tuple[str, str]]:
    """To whom the report went: its recipient stands for two others, which is known only later."""
    story = UnknownSender()
    life, directory = await story.fail()
    await asyncio.sleep(10)
    directory.is_out_of_reach = False
    await soon(lambda: life.is_idle)
    await life.stop()
    return story.sent()


def test_a_report_goes_to_whom_its_recipient_stands_for_also_where_that_is_known_only_later() -> None:
    assert [address for address, _ in run(a_sender_can_not_be_looked_up())] == ["one@example.org", "two@example.org"]


def test_without_its_mark_a_report_goes_to_an_address_that_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reporter, "_addressed", lambda self, envelope: envelope)
    assert [address for address, _ in run(a_sender_can_not_be_looked_up())] == ["sender@example.org"]
