"""A switch that hangs for a minute is killed; one that is merely slow, starting or stopping is not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, cast

import pytest
from sim.loop import in_virtual_time
from sim.world import VirtualClock

from nightmail.net.control import RequestFailed, SwitchSilent
from nightmail.supervisor.child import SwitchChild
from nightmail.supervisor.watchdog import UNANSWERED, Watchdog

HUNG_S = UNANSWERED * 5.0


class Child:
    """A switch that answers, refuses or hangs."""

    def __init__(self) -> None:
        self.number = 0
        self.pid = 100
        self.state = "serving"
        self.answer: Exception | None = None
        self.killed_at: list[float] = []

    async def request(self, _method: str, _params: Mapping[str, Any] | None = None, timeout_s: float = 5.0) -> Any:
        if isinstance(self.answer, SwitchSilent):
            await asyncio.sleep(timeout_s)
        if self.answer is not None:
            raise self.answer

    def kill(self, reason: str) -> None:
        self.killed_at.append(VirtualClock().elapsed())
        self.pid += 1


async def watched(child: Child, seconds: float) -> None:
    watching = asyncio.create_task(Watchdog(cast("list[SwitchChild]", [child])).run())
    await asyncio.sleep(20)
    child.answer = child.answer or SwitchSilent("no answer")
    await asyncio.sleep(seconds)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching


@in_virtual_time
async def test_a_switch_that_hangs_is_killed_after_a_minute_and_its_successor_is_given_as_long() -> None:
    child = Child()
    began = VirtualClock().elapsed() + 20
    await watched(child, 200)
    first, second, *_ = (at - began for at in child.killed_at)
    assert HUNG_S <= first < HUNG_S + 20
    assert second - first >= HUNG_S


@in_virtual_time
async def test_a_short_silence_is_nothing() -> None:
    child = Child()
    await watched(child, HUNG_S - 10)
    assert not child.killed_at


@pytest.mark.parametrize("state", ["starting", "stopping", "restarting"])
def test_who_does_not_serve_is_somebody_elses_to_wait_for(state: str) -> None:
    @in_virtual_time
    async def story() -> None:
        child = Child()
        child.state = state
        await watched(child, 500)
        assert not child.killed_at

    story()


@in_virtual_time
async def test_who_refuses_to_answer_does_not_hang() -> None:
    child = Child()
    child.answer = RequestFailed("odd")
    await watched(child, 500)
    assert not child.killed_at
