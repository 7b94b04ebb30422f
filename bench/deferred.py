"""100,000 messages for a dead destination: what they cost, and how fast they go once it is back."""

from __future__ import annotations

import argparse
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
    count: int = options.messages
    console.print(f"{count:,} messages for a dead destination", style="dim")
    idle, full, accepted_s = _fill(server, count)
    console.print("restart after SIGTERM, then after kill -9", style="dim")
    clean_s, again = _restart(server, count)
    killed_s, first_s, drained_s = _revive(server, count, place, dead_port)
    rows = [
        ["accepted, messages/s", rate(count / accepted_s)],
        ["idle, RSS (PSS)", _told(idle)],
        ["with the queue full", _told(full)],
        ["with the queue full, after a restart", _told(again)],
        ["serving after SIGTERM and a start", f"{clean_s:.2f} s"],
        ["serving after kill -9 and a start", f"{killed_s:.2f} s"],
        ["first delivery after queue retry --all", f"{first_s:.2f} s"],
        ["drained, messages/s", rate(count / drained_s)],
    ]
    grown = max(full.rss_bytes, again.rss_bytes) - idle.rss_bytes
    slowest_s = max(clean_s, killed_s)
    goals = [
        Goal("at most 100 MB over the idle RSS", f"{grown / 1e6:.0f} MB", grown <= 100e6),
        Goal("restart to serving under 2 s", f"{slowest_s:.2f} s", slowest_s < 2),
        Goal("first delivery under 5 s after queue retry --all", f"{first_s:.2f} s", first_s < 5),
    ]
    return [Figures(f"{count:,} deferred messages of 4 KiB", ["", "measured"], rows)], goals


def _fill(server: Server, count: int) -> tuple[Memory, Memory, float]:
    """Idle memory, memory with the queue full, and the seconds that it took to fill."""
    with server.spawned() as process:
        server.wait_ready(process)
        idle = of_tree(process.pid)
        accepted_s = send(server.port, _LOAD, count, _FILLING_S)
        wait_until(lambda: _waiting(server) >= count, "everything waits", _FILLING_S, 1.0)
        return idle, _settled(process.pid), accepted_s


def _restart(server: Server, count: int) -> tuple[float, Memory]:
    """Seconds until it serves after a clean end, and the memory then; ended by kill -9."""
    with server.spawned() as process:
        ready_s = server.wait_ready(process)
        wait_until(lambda: server.queued() >= count, "the queue is read", 60, 0.2)
        memory = _settled(process.pid)
        process.kill()
    return ready_s, memory


def _revive(server: Server, count: int, place: Path, port: int) -> tuple[float, float, float]:
    """Seconds until it serves after kill -9; from the retry to the first delivery; and to the last."""
    with server.spawned() as process:
        ready_s = server.wait_ready(process)
        wait_until(lambda: server.queued() >= count, "the queue is read", 60, 0.2)
        with sink(place, port) as target:
            begin = CLOCK.elapsed()
            server.run("queue", "retry", "--all", "--yes")
            first_s = target.wait_for(1, 60) - begin
            drained_s = target.wait_for(count, _DRAINING_S) - begin
            wait_until(lambda: server.queued() == 0, "an empty queue", 60, 0.2)
    return ready_s, first_s, drained_s


def _told(memory: Memory) -> str:
    return f"{mib(memory.rss_bytes)} ({mib(memory.pss_bytes)})"


def _waiting(server: Server) -> int:
    return sum(queue["waiting"] for queue in server.facts("status")["queues"])


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
