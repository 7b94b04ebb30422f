"""nightmail and Postfix in turn, and beside each run smtp-source straight into smtp-sink as the ceiling.

A machine that others share changes its speed from one minute to the next: a run is set against the ceiling measured
just before and after it, and of such shares the median is told.
"""

from __future__ import annotations

import argparse
import statistics
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console

from bench.contender import Contender
from bench.nightmail_server import COMMAND, Server
from bench.postfix import postfix
from bench.report import Figures, Goal, mib, rate
from bench.throughput import LOADS, Opening, Result, measure_in_turn


def run(place: Path, options: argparse.Namespace, console: Console) -> tuple[list[Figures], list[Goal]]:
    """Measure all contenders; the tables and the goals."""
    rival, ours = Result("Postfix"), [Result("nightmail")]
    openings: list[tuple[Result, Opening]] = [(rival, postfix), (ours[0], _nightmail(1))]
    if options.plain:
        ours.append(Result("not compiled"))
        openings.append((ours[-1], _nightmail(1, options.plain)))
    if options.workers > 1:
        ours.append(Result(f"nightmail, {options.workers} switches"))
        openings.append((ours[-1], _nightmail(options.workers)))
    measure_in_turn(openings, place, options.rounds, options.seconds, lambda line: console.print(line, style="dim"))
    tables = [_throughput(rival, ours), _latency([rival, *ours]), _memory([rival, *ours])]
    return tables, _goals(rival, ours[0])


def _nightmail(workers: int, command: str = COMMAND) -> Opening:
    def opening(directory: Path, sink_port: int) -> AbstractContextManager[Contender]:
        return Server(directory, sink_port, workers=workers, command=command).serving()

    return opening


def _throughput(rival: Result, ours: list[Result]) -> Figures:
    head = ["messages/s relayed (accepted)", "ceiling", "Postfix"]
    for result in ours:
        head += [result.name, "x Postfix", "of the ceiling"]
    rows = []
    for load in LOADS:
        tops = [top for result in (rival, *ours) for top in result.ceilings[load]]
        base = rival.rate(load)
        row = [str(load), rate(statistics.median(tops)), f"{rate(base.relayed_per_s)} ({rate(base.accepted_per_s)})"]
        for result in ours:
            own = result.rate(load)
            row.append(f"{rate(own.relayed_per_s)} ({rate(own.accepted_per_s)})")
            row += [f"{result.times(rival, load):.1f}", f"{result.share_of_ceiling(load):.0%}"]
        rows.append(row)
    return Figures("Durable relay, end to end, 50 sessions", head, rows)


def _latency(results: list[Result]) -> Figures:
    rows = []
    for result in results:
        found = result.latency()
        rows.append([result.name, *(f"{quantile:.1f}" for quantile in found[:4]), rate(found.per_second)])
    head = ["4 KiB, 50 sessions at full speed", "250 after the dot: p50 ms", "p99 ms", "MAIL to 250: p50 ms", "p99 ms"]
    return Figures("What a client waits", [*head, "messages/s"], rows)


def _memory(results: list[Result]) -> Figures:
    rows = []
    for result in results:
        idle, peak = result.idle[-1], result.peak[-1]
        figures = [mib(size) for size in (idle.pss_bytes, peak.pss_bytes, idle.rss_bytes, peak.rss_bytes)]
        rows.append([result.name, *figures, str(peak.processes)])
    head = ["all processes added up", "PSS idle", "PSS peak", "RSS idle", "RSS peak", "processes"]
    return Figures("Memory (PSS counts shared pages once)", head, rows)


def _goals(rival: Result, ours: Result) -> list[Goal]:
    times, share = ours.times(rival, LOADS[0]), ours.share_of_ceiling(LOADS[0])
    p99_ms = ours.latency().acceptance_p99_ms
    return [
        Goal("4 KiB, sessions reused: at least 6 x Postfix", f"{times:.1f} x", times >= 6),
        Goal("at least a third of the ceiling that stores nothing", f"{share:.1%}", share >= 1 / 3),
        Goal("p99 of acceptance under 50 ms at 50 sessions", f"{p99_ms:.1f} ms", p99_ms < 50),
    ]
