"""A lone message: how many objects are put into the store before its 250, and how long it waits for them."""

from __future__ import annotations

import argparse
import smtplib
import statistics
from pathlib import Path

from rich.console import Console

from bench.nightmail_server import Server
from bench.processes import CLOCK, pause
from bench.report import Figures, Goal
from bench.tools import sink

_MESSAGES = 30
_TEXT = b"Subject: alone\r\n\r\n" + b"x" * 4000 + b"\r\n"


def run(place: Path, options: argparse.Namespace, console: Console) -> tuple[list[Figures], list[Goal]]:
    """Send single messages, long enough apart that nothing of one is still under way at the next."""
    del options
    puts: list[int] = []
    waits_ms: list[float] = []
    console.print(f"{_MESSAGES} lone messages", style="dim")
    with sink(place) as target:
        server = Server(place, target.port)
        with server.serving(), smtplib.SMTP("127.0.0.1", server.port) as client:
            for number in range(_MESSAGES):
                pause(0.4)
                before = _slots(server)
                begin = CLOCK.elapsed()
                client.sendmail("bench@source.test", ["someone@sink.test"], _TEXT)
                waits_ms.append((CLOCK.elapsed() - begin) * 1000)
                answered_at = CLOCK.wall()
                target.wait_for(number + 1, 10)
                # By their dates: listing takes long enough for the outcome of the delivery to be written meanwhile.
                puts.append(sum(slot.stat().st_mtime <= answered_at for slot in _slots(server) - before))
    rows = [["slots written until the 250, median", f"{statistics.median(puts):.0f}"], ["at most", str(max(puts))]]
    rows += [["whole transaction, median", f"{statistics.median(waits_ms):.1f} ms"]]
    goal = Goal(
        "a lone message: one put before its 250", f"median {statistics.median(puts):.0f}", statistics.median(puts) == 1
    )
    return [Figures("A lone message", ["", "measured"], rows)], [goal]


def _slots(server: Server) -> set[Path]:
    return set((server.home / "store").glob("queues/*/log/*"))
