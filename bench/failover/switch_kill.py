"""One switch process killed: how soon its own supervisor has its queue served again."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

from bench.failover.figures import HEAD, seconds
from bench.failover.stage import Stage, opened
from bench.processes import CLOCK, BenchFailed
from bench.report import Figures, Goal
from nightmail.cli.demo.pair import NAMES

_WAITING = 800
_STEADY_S = 5.0
_REST_S = 3.0  # so that each server is as usual when it is struck again: its switch at work for 5 s, a spare beside it


async def run(place: Path, options: argparse.Namespace, say: Callable[[str], None]) -> tuple[list[Figures], list[Goal]]:
    """Have some hundred messages wait, kill the switch, and wait for the first of them."""
    times = []
    async with opened(place, retry_s=1.0) as stage:
        stage.inbox.greylisted_of = 0
        await asyncio.sleep(_STEADY_S)
        for number in range(options.strikes):
            name = NAMES[number % 2]
            await stage.build_up(name, _WAITING)
            say(f"switch kill {number + 1} of {options.strikes}, {await stage.waiting(name)} messages waiting")
            times.append(await _strike(stage, name))
            await asyncio.sleep(_REST_S)
        ledger = await stage.audited()
    rows = [["its queue is served again", *seconds(times)]]
    goals = [
        Goal("served again within 0.7 s", f"{max(times):.2f} s at most", max(times) <= 0.7),
        Goal("nothing lost", f"{ledger.lost} of {ledger.acknowledged:,}", ledger.lost == 0),
    ]
    title = f"A switch process killed with up to 1,000 messages waiting, {options.strikes} times"
    return [Figures(title, ["after kill -9", *HEAD], rows)], goals


async def _strike(stage: Stage, name: str) -> float:
    picture = await stage.pair.servers[name].picture()
    if picture is None:
        raise BenchFailed(f"{name} does not answer: {stage.pair.servers[name].last_words()}")
    [pid] = [switch.pid for switch in picture.switches if not switch.secondary_for]
    killed = CLOCK.elapsed()
    os.kill(pid, signal.SIGKILL)
    return await stage.until_served(name, killed) - killed
