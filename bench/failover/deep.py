"""A whole server killed while a deep queue waits on it: how soon it is adopted, indexed and served."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

from bench.failover.figures import HEAD, seconds
from bench.failover.stage import opened, until_true
from bench.processes import free_port
from bench.report import Figures, Goal
from bench.tools import Load, send
from nightmail.cli.demo.pair import NAMES

_DEAD = "dead.example"
_LOAD = Load(4096, reuse=True)
_FILLING_S = 900.0
_RETRY_S = 3600.0
_STEADY_S = 5.0


async def run(place: Path, options: argparse.Namespace, say: Callable[[str], None]) -> tuple[list[Figures], list[Goal]]:
    """Fill a server, kill it, and see what its partner does: each time with a pair of its own."""
    count, strikes = options.messages, max(options.strikes // 2, 1)
    served_s, indexed_s = [], []
    for number in range(strikes):
        say(f"kill {number + 1} of {strikes}: {count:,} messages for a dead destination wait on one server")
        home = place / str(number)
        home.mkdir()
        served, indexed = await _told(home, count)
        served_s.append(served)
        indexed_s.append(indexed)
        shutil.rmtree(home)
    rows = [
        ["first delivery of its queue by the survivor", *seconds(served_s)],
        [f"all {count:,} indexed and adopted", *seconds(indexed_s)],
    ]
    median_s = statistics.median(served_s)
    goals = [
        Goal("first delivery within 2.5 s of the kill", f"{max(served_s):.2f} s at most", max(served_s) <= 2.5),
        Goal("first delivery in the median under 2 s", f"{median_s:.2f} s", median_s < 2),
        Goal(f"{count:,} indexed in under 5 s", f"{max(indexed_s):.2f} s at most", max(indexed_s) < 5),
    ]
    title = f"A whole server killed with {count:,} messages waiting, {strikes} times"
    return [Figures(title, ["after kill -9", *HEAD], rows)], goals


async def _told(place: Path, count: int) -> tuple[float, float]:
    """Fill, kill and wait; seconds from the kill to the first delivery by the survivor, and to the adoption of all."""
    victim, survivor = NAMES
    # What waits for a dead destination waits for an hour; a load of fresh mail goes on beside it.
    async with opened(place, destinations={_DEAD: free_port()}, retry_s=_RETRY_S) as stage:
        stage.inbox.greylisted_of = 0
        await stage.pair.servers[survivor].stop()
        await asyncio.to_thread(send, stage.pair.port, _LOAD, count, _FILLING_S, f"someone@{_DEAD}")
        await until_true(lambda: stage.waiting(victim), lambda waiting: waiting >= count, "everything waits")
        await stage.start(survivor)
        async with stage.loaded():
            await asyncio.sleep(_STEADY_S)
            killed, queues = await stage.kill(victim)
            serving = asyncio.create_task(stage.until_served(victim, killed))
            indexed = await stage.until_adopted(queues, killed)
            served = await serving
            await until_true(lambda: stage.waiting(survivor), lambda waiting: waiting >= count, "everything is indexed")
    return served - killed, indexed - killed
