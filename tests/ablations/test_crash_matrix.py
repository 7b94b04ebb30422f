"""A process may die before or after anything it does to the world; the next one makes it good.

One message's life, from acceptance to settlement, is told again and again, each time with a crash at another step of
the store or of the destination. Acknowledged is never lost, and delivered twice is always recorded as ambiguous.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest
from sim.checkers import NOTHING, Findings
from sim.crashing import CrashPoint, Mortality
from sim.life import Life
from sim.loop import run
from tests.ablations.scenes import Scene

from nightmail.queue.settings import QueueSettings

Story = Callable[[Life], Awaitable[None]]
SHORT_RETRIES = QueueSettings(retry_first_s=5.0, retry_max_s=5.0)


async def is_delivered(life: Life) -> None:
    life.submit("M1", recipients=2)
    await asyncio.sleep(0.5)


async def is_deferred_and_delivered(life: Life) -> None:
    life.sink.answers["r0@example.net"] = "deferred"
    life.submit("M1", recipients=2)
    await asyncio.sleep(1)
    life.sink.answers.clear()
    await asyncio.sleep(6)


async def is_returned(life: Life) -> None:
    life.sink.answers["r1@example.net"] = "failed"
    life.submit("M1", recipients=2)
    await asyncio.sleep(0.5)


async def is_taken_without_an_answer(life: Life) -> None:
    life.sink.answers["r0@example.net"] = "ambiguous"
    life.submit("M1")
    await asyncio.sleep(0.5)


async def is_stopped_in_good_order(life: Life) -> None:
    life.submit("M1")
    await asyncio.sleep(0.5)
    life.sink.holds = True
    life.submit("M2")
    await asyncio.sleep(0.1)
    stopping = asyncio.ensure_future(life.switch.stop())
    await asyncio.sleep(0.1)
    for job in life.sink.held:
        life.sink.transmit(job)
    await asyncio.wait([stopping], timeout=20)


STORIES = [is_delivered, is_deferred_and_delivered, is_returned, is_taken_without_an_answer, is_stopped_in_good_order]


class Told(NamedTuple):
    """How a story ended."""

    findings: Findings
    steps: int
    undelivered: set[str]
    most_deliveries: int


async def tell(story: Story, *points: CrashPoint | None) -> Told:
    """Tell the story to the first life, crash it at the first point; crash its successors at the others."""
    scene = Scene()
    mortality = Mortality()
    for seed, point in enumerate(points, start=1):
        mortality = Mortality(point)
        life = await scene.life(seed, mortality=mortality, queue_settings=SHORT_RETRIES)
        if seed == 1 and not mortality.crashed.is_set():
            await story(life)
        elif not mortality.crashed.is_set():
            await asyncio.sleep(20)
        await life.crash()
    await scene.finish()
    ledger = scene.ledger
    return Told(
        await scene.findings(),
        mortality.steps,
        {message_id for message_id in ledger.acknowledged if not ledger.delivered[message_id, 0]},
        max(ledger.delivered.values(), default=0),
    )


def points_of(story: Story, *before: CrashPoint | None) -> list[CrashPoint]:
    steps = run(tell(story, *before, None)).steps
    return [CrashPoint(step, after) for step in range(1, steps + 1) for after in (False, True)]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_crash_at_any_step_loses_nothing_and_doubles_nothing_unknown(story: Story) -> None:
    points = points_of(story)
    assert len(points) > 10
    for point in points:
        told = run(tell(story, point))
        assert told.findings == NOTHING, point
        assert not told.undelivered, point
        assert told.most_deliveries <= 2, point


def test_the_adopter_may_die_at_any_step_too() -> None:
    dot = next(point for point in points_of(is_delivered) if run(tell(is_delivered, point)).most_deliveries == 2)
    points = points_of(is_delivered, dot)
    assert len(points) > 10
    for point in points:
        told = run(tell(is_delivered, dot, point))
        assert told.findings == NOTHING, point
        assert not told.undelivered, point
