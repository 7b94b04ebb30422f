"""A whole server killed while a deep queue waits on it: how soon it is adopted, indexed and served."""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections.abc import Callable
from pathlib import Path

from bench.failover.figures import HEAD, seconds
from bench.failover.stage import Stage, opened, until_true
from bench.processes import free_port
from bench.report import Figures, Goal
from bench.tools import Load, send
from nightmail.cli.demo.pair import NAMES

_DEAD = "dead.example"
_LOAD = Load(4096, reuse=True)
_FILLING_S = 900.0
_RETRY_S = 3600.0
_STEADY_S = 3.0


async def run(place: Path, options: argparse.Namespace, say: Callable[[str], None]) -> tuple[list[Figures], list[Goal]]:
    """Kill the server on which everything waits, again and again: what it had goes to and fro between the two."""
    count: int = options.messages
    first, other = NAMES
    served_s, indexed_s = [], []
    # What waits for a dead destination waits for an hour; a load of fresh mail goes on beside it.
    async with opened(place, destinations={_DEAD: free_port()}, retry_s=_RETRY_S) as stage:
        stage.inbox.greylisted_of = 0
        say(f"{count:,} messages for a dead destination, all on one server")
        await stage.pair.servers[other].stop()
        await asyncio.to_thread(send, stage.pair.port, _LOAD, count, _FILLING_S, f"someone@{_DEAD}")
        await until_true(lambda: stage.waiting(first), lambda waiting: waiting >= count, "everything waits")
        await stage.start(other)
        victim, survivor = first, other
        async with stage.loaded(sessions=40, rest_s=0.05):
            for number in range(options.strikes):
                say(f"kill {number + 1} of {options.strikes}: {victim}")
                await asyncio.sleep(_STEADY_S)
                served, indexed = await _strike(stage, victim, survivor, count)
                served_s.append(served)
                indexed_s.append(indexed)
                victim, survivor = survivor, victim
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
    title = f"A whole server killed with {count:,} messages waiting, {options.strikes} times"
    return [Figures(title, ["after kill -9", *HEAD], rows)], goals


async def _strike(stage: Stage, victim: str, survivor: str, count: int) -> tuple[float, float]:
    """Kill one, wait for the other, and start the first again."""
    killed, queues = await stage.kill(victim)
    served = asyncio.create_task(stage.until_served(victim, killed))
    indexed = await stage.until_adopted(queues, killed)
    found = await served
    await until_true(lambda: stage.waiting(survivor), lambda waiting: waiting >= count, "everything is indexed")
    await stage.start(victim)
    return found - killed, indexed - killed
