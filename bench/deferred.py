"""100,000 messages for a dead destination: what they cost, and how fast they go once it is back."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from rich.console import Console

from bench.memory import Memory, of_tree
from bench.nightmail_server import Server
from bench.processes import CLOCK, free_port, pause, wait_until
from bench.report import Figures, Goal, mib, rate
from bench.tools import Load, send, sink

_LOAD = Load(4096, reuse=True)
_FILLING_S = 900
_DRAINING_S = 900


def run(place: Path, options: argparse.Namespace, console: Console) -> tuple[list[Figures], list[Goal]]:
    """Fill the queue, restart the server twice, bring the destination back."""
    dead_port = free_port()
    server = Server(place, dead_port, retry_first_s=3600)
    rows, count = [], options.messages
    with server.spawned() as process:
        server.wait_ready(process)
        idle = of_tree(process.pid)
        console.print(f"{count:,} messages for a dead destination", style="dim")
        accepted_s = send(server.port, _LOAD, count, _FILLING_S)
        wait_until(lambda: _waiting(server) >= count, "everything waits", _FILLING_S, 1.0)
        full = _settled(process.pid)
        rows += [["accepted, messages/s", rate(count / accepted_s)], ["PSS idle", mib(idle.pss_bytes)]]
        rows += [["PSS with the queue full", mib(full.pss_bytes)], ["RSS idle", mib(idle.rss_bytes)]]
        rows += [["RSS with the queue full", mib(full.rss_bytes)]]
    console.print("restart after SIGTERM, then after kill -9", style="dim")
    with server.spawned() as process:
        clean_s = server.wait_ready(process)
        wait_until(lambda: server.queued() >= count, "the queue is read", 60, 0.2)
        again = _settled(process.pid)
        process.kill()
    with server.spawned() as process, contextlib.ExitStack() as stack:
        killed_s = server.wait_ready(process)
        wait_until(lambda: server.queued() >= count, "the queue is read", 60, 0.2)
        target = stack.enter_context(sink(place, dead_port))
        begin = CLOCK.elapsed()
        server.run("queue", "retry", "--all", "--yes")
        first_s = target.wait_for(1, 60) - begin
        drained_s = target.wait_for(count, _DRAINING_S) - begin
    rows += [["RSS after a restart", mib(again.rss_bytes)], ["serving after SIGTERM and restart", f"{clean_s:.2f} s"]]
    rows += [["serving after kill -9 and restart", f"{killed_s:.2f} s"]]
    rows += [["first delivery after retry --all", f"{first_s:.2f} s"], ["drained, messages/s", rate(count / drained_s)]]
    grown = max(full.rss_bytes, again.rss_bytes) - idle.rss_bytes
    goals = [
        Goal("at most 100 MB over the idle RSS", f"{grown / 1e6:.0f} MB", grown <= 100e6),
        Goal("restart to serving under 2 s", f"{max(clean_s, killed_s):.2f} s", max(clean_s, killed_s) < 2),
        Goal("first delivery under 5 s after queue retry --all", f"{first_s:.2f} s", first_s < 5),
    ]
    return [Figures(f"{count:,} deferred messages of 4 KiB", ["", "measured"], rows)], goals


def _waiting(server: Server) -> int:
    status = server.facts("status")
    return sum(queue.get("waiting", queue["messages"]) for queue in status["queues"])


def _settled(pid: int) -> Memory:
    """The memory once it no longer falls: what the load itself took is given back first."""
    last = of_tree(pid)
    for _ in range(20):
        pause(0.5)
        now = of_tree(pid)
        if now.rss_bytes >= last.rss_bytes * 0.995:
            return now
        last = now
    return last
