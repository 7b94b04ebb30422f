"""What the second server is good for: a pair in which both work, and one in which one waits idle, on one machine."""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
from collections.abc import Callable
from pathlib import Path

from bench.failover.stage import LEASE_S
from bench.processes import CLOCK
from bench.report import Figures, Goal, rate
from bench.tools import Load, Sink, send, sink
from nightmail.cli.demo.pair import Pair
from nightmail.world import SystemRandomness

_DOMAIN = "sink.test"
_LOAD = Load(4096, reuse=True)
_WARM_UP = 2_000
_LONGEST_S = 120.0


async def run(place: Path, options: argparse.Namespace, say: Callable[[str], None]) -> tuple[list[Figures], list[Goal]]:
    """Relay through both pairs in turn, in as many rounds as the other comparisons take."""
    rates: dict[bool, list[float]] = {False: [], True: []}
    for number in range(options.rounds):
        for has_standby in (False, True):
            say(f"round {number + 1} of {options.rounds}: {'active/standby' if has_standby else 'active/active'}")
            home = place / f"{number}-{has_standby}"
            home.mkdir(mode=0o755)
            with sink(home) as target:
                rates[has_standby].append(await _measure(home, target, options.seconds, has_standby=has_standby))
    ratio = statistics.median(both / one for both, one in zip(rates[False], rates[True], strict=True))
    rows = [
        [name, *(rate(value) for value in (statistics.median(found), min(found), max(found)))]
        for name, found in (("active/active", rates[False]), ("active/standby", rates[True]))
    ]
    rows.append(["ratio, round by round", f"{ratio:.2f}", "", ""])
    cores = len(os.sched_getaffinity(0))
    title = f"Both at work against one idle, on the same {cores} cores with the load tools"
    return [Figures(title, ["messages/s relayed", "median", "lowest", "highest"], rows)], []


async def _measure(home: Path, target: Sink, seconds: float, *, has_standby: bool) -> float:
    pair = Pair(home, CLOCK, {_DOMAIN: target.port}, lease_s=LEASE_S, has_standby=has_standby)
    try:
        await pair.start(SystemRandomness())
        guess = await asyncio.to_thread(_relay, pair.port, target, _WARM_UP)
        return await asyncio.to_thread(_relay, pair.port, target, max(_WARM_UP, int(guess * seconds)))
    finally:
        await pair.stop()


def _relay(port: int, target: Sink, count: int) -> float:
    """Messages per second, from the first connection to the last message in the sink."""
    before, began = target.count, CLOCK.elapsed()
    send(port, _LOAD, count, _LONGEST_S, f"someone@{_DOMAIN}")
    return count / (target.wait_for(before + count, _LONGEST_S) - began)
