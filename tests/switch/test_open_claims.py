"""Claims that an earlier life left open are settled by the policy of their route, and only once that is known (J8)."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec
import pytest
from sim.checkers import NOTHING
from sim.life import SINK, Life
from sim.loop import in_virtual_time, until
from tests.switch.scene import QUICK, Stage, soon, to
from tests.switch.test_lookups import Directory

from nightmail.journal.records import AMBIGUOUS, FAILED, Resumed
from nightmail.queue.settings import QueueSettings
from nightmail.switch.owned import OwnedQueue

THERE = "there@example.net"
OTHER = "other@example.org"
ELSEWHERE = msgspec.structs.replace(SINK, destination="elsewhere")
PATIENT = msgspec.structs.replace(QUICK, expire_s=3000.0)

Policy = Literal["retry", "hold"]


class Story:
    """A switch dies after the dot of a message; others find its claim while the directory is out of reach."""

    def __init__(self, settings: QueueSettings = PATIENT) -> None:
        self.stage = Stage()
        self._settings = settings

    async def die_after_the_dot(self, *others: str) -> None:
        """To THERE; to the others it was deferred before."""
        life = await self.stage.life(self._settings)
        life.routes.routes |= dict.fromkeys(others, ELSEWHERE)
        life.sink.answers |= dict.fromkeys(others, "deferred")
        life.sink.holds = True
        life.submit("M1", envelope=to(THERE, *others))
        await until(lambda: len(life.sink.held) == 1 + len(others))
        to_there, *to_others = sorted(life.sink.held, key=lambda job: job.recipients)
        for job in to_others:
            life.sink.transmit(job)
        life.sink.send_dot(to_there)
        await asyncio.sleep(1)
        await life.crash()

    async def adopt(self) -> tuple[Life, Directory]:
        life = self.stage.unborn(self._settings)
        directory = Directory().join(life)
        directory.is_out_of_reach = True
        directory.routes[OTHER] = ELSEWHERE
        directory.known.add(OTHER)
        await life.start()
        await soon(lambda: any("M1" in queue.journal.state.messages for queue in life.switch.queues))
        return life, directory

    def settled(self, message_id: str) -> list[tuple[int, bool]]:
        """What was settled of a message, and whether it was held by that."""
        return [(result.outcome, record.hold) for record in self.stage.settled(message_id) for result in record.results]


def comes_back(directory: Directory, on_ambiguous: Policy) -> None:
    directory.routes[THERE] = msgspec.structs.replace(SINK, on_ambiguous=on_ambiguous)
    directory.is_out_of_reach = False


def older(life: Life) -> OwnedQueue:
    """The queue that has the message."""
    return next(queue for queue in life.switch.queues if "M1" in queue.journal.state.messages)


@pytest.mark.parametrize("crashes", [0, 2])
@in_virtual_time
async def test_it_stays_open_over_all_crashes_while_its_route_can_not_be_known_and_is_held_then(crashes: int) -> None:
    story = Story()
    await story.die_after_the_dot()
    life, directory = await story.adopt()
    for _ in range(crashes):
        await asyncio.sleep(100)
        await life.crash()
        life, directory = await story.adopt()
    await asyncio.sleep(600)
    assert not life.sink.jobs
    assert story.settled("M1") == []
    comes_back(directory, "hold")
    await asyncio.sleep(600)
    assert story.settled("M1") == [(AMBIGUOUS, True)]
    assert not life.sink.jobs
    message = older(life).journal.state.messages["M1"]
    older(life).journal.append(Resumed("M1"), lambda: older(life).resume(message), urgent=True)
    await soon(lambda: story.stage.ledger.delivered["M1", 0] == 2)
    assert await story.stage.findings() == NOTHING
    await life.stop()


@in_virtual_time
async def test_it_is_retried_where_the_policy_says_so_soon_after_the_directory_is_back() -> None:
    story = Story()
    await story.die_after_the_dot()
    life, directory = await story.adopt()
    await asyncio.sleep(600)
    comes_back(directory, "retry")
    await asyncio.sleep(10)
    assert story.settled("M1")[0] == (AMBIGUOUS, False)
    assert story.stage.ledger.delivered["M1", 0] == 2
    assert await story.stage.findings() == NOTHING
    await life.stop()


@in_virtual_time
async def test_who_is_on_no_open_claim_does_not_wait_for_those_that_are() -> None:
    story = Story()
    await story.die_after_the_dot(OTHER)
    life, directory = await story.adopt()
    await soon(lambda: story.stage.ledger.delivered["M1", 1] == 1)
    await asyncio.sleep(600)
    assert story.stage.ledger.delivered["M1", 0] == 1
    queue = older(life)
    comes_back(directory, "hold")
    await soon(lambda: queue.journal.state.messages["M1"].held)
    assert (AMBIGUOUS, True) in story.settled("M1")
    assert await story.stage.findings() == NOTHING
    await life.stop()


@in_virtual_time
async def test_its_sender_hears_of_the_delay_and_of_the_end_of_all_patience() -> None:
    story = Story(msgspec.structs.replace(PATIENT, delay_report_s=100.0))
    await story.die_after_the_dot()
    life, _ = await story.adopt()
    await soon(lambda: bool(story.stage.settled("M1")))
    [first] = story.stage.settled("M1")
    assert (first.results, first.delay_reported) == ((), True)
    queue = older(life)
    await soon(lambda: "M1" not in queue.journal.state.messages, within_s=5_000)
    assert [outcome for outcome, _ in story.settled("M1")] == [FAILED]
    assert story.stage.ledger.delivered["M1", 0] == 1
    assert await story.stage.findings() == NOTHING
    await life.stop()
