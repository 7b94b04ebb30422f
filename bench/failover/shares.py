"""Both servers at work: how equally the balancer shares the mail out."""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bench.failover.stage import opened
from bench.report import Figures, Goal
from nightmail.cli.demo.pair import NAMES

_SECONDS = 10.0


async def run(place: Path, options: argparse.Namespace, say: Callable[[str], None]) -> tuple[list[Figures], list[Goal]]:
    """Let clients come and go for a while, and count what each server took."""
    say("shares of both servers in normal operation")
    async with opened(place) as stage:
        async with stage.loaded():
            await asyncio.sleep(_SECONDS)
        await stage.audited()
        taken = Counter(arrival.taken_by for _, arrival in stage.books.arrivals)
    total = taken.total()
    rows = [[name, f"{taken[name]:,}", f"{taken[name] / total:.1%}"] for name in NAMES]
    apart = abs(taken[NAMES[0]] - taken[NAMES[1]]) / (total / 2)
    goal = Goal("shares equal within 5 %", f"{apart:.1%} apart", apart <= 0.05)
    return [Figures("Normal operation", ["server", "messages", "share"], rows)], [goal]
