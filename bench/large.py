"""A message of 100 MB on its way through: it is streamed, so the memory hardly notices."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from bench.memory import Peak, of_tree
from bench.nightmail_server import Server
from bench.report import Figures, Goal
from bench.tools import Load, send, sink

_LARGE = Load(100_000_000, reuse=False)
_SMALL = Load(4096, reuse=True)
_WARM_UP = 100


def run(place: Path, options: argparse.Namespace, console: Console) -> tuple[list[Figures], list[Goal]]:
    """Send one large message after a little ordinary mail, and watch the memory."""
    del options
    with sink(place) as target, Server(place, target.port).serving() as contender:
        send(contender.port, _SMALL, _WARM_UP, 60)
        target.wait_for(_WARM_UP, 60)
        before = of_tree(contender.pid)
        console.print("one message of 100 MB", style="dim")
        with Peak(contender.pid, every_s=0.02) as peak:
            accepted_s = send(contender.port, _LARGE, 1, 120)
            target.wait_for(_WARM_UP + 1, 120)
    grown = peak.memory.rss_bytes - before.rss_bytes
    rows = [
        ["RSS before", f"{before.rss_bytes / 1e6:.1f} MB"],
        ["RSS at its peak", f"{peak.memory.rss_bytes / 1e6:.1f} MB"],
    ]
    rows += [["accepted at", f"{100 / accepted_s:.0f} MB/s"]]
    goal = Goal("a message of 100 MB raises RSS by less than 20 MB", f"{grown / 1e6:.1f} MB", grown < 20e6)
    return [Figures("A message of 100 MB", ["", "measured"], rows)], [goal]
