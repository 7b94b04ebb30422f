"""A pair behind HAProxy that is struck again and again: how long until its queues are served, and what came twice."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.failover import deep, handover, kills, shares, switch_kill, throughput
from bench.report import Figures, Goal

_Found = tuple[list[Figures], list[Goal]]
_Part = Callable[[Path, argparse.Namespace, Callable[[str], None]], Coroutine[Any, Any, _Found]]


def _measured(part: _Part) -> Callable[[Path, argparse.Namespace, Console], _Found]:
    def run(place: Path, options: argparse.Namespace, console: Console) -> _Found:
        return asyncio.run(part(place, options, lambda line: console.print(line, style="dim", highlight=False)))

    return run


MEASUREMENTS = {
    "failover-deep": _measured(deep.run),
    "failover-switch": _measured(switch_kill.run),
    "failover-handover": _measured(handover.run),
    "failover-shares": _measured(shares.run),
    "failover-kills": _measured(kills.run),
    "failover-throughput": _measured(throughput.run),
}
