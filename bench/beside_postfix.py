"""nightmail and Postfix in turn, and smtp-source straight into smtp-sink as the ceiling of both."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console

from bench.contender import Contender
from bench.nightmail_server import COMMAND, Server
from bench.postfix import postfix
from bench.report import Figures, Goal, mib, rate
from bench.throughput import LOADS, Opening, Result, measure_in_turn, nothing


def run(place: Path, options: argparse.Namespace, console: Console) -> tuple[list[Figures], list[Goal]]:
    """Measure all contenders; the tables and the goals."""
    ceiling, rival = Result("smtp-sink alone"), Result("Postfix")
    ours = [Result("nightmail")]
    openings: list[tuple[Result, Opening]] = [(ceiling, nothing), (rival, postfix), (ours[0], _nightmail(1))]
    if options.plain:
        ours.append(Result("not compiled"))
        openings.append((ours[-1], _nightmail(1, options.plain)))
    if options.workers > 1:
        ours.append(Result(f"nightmail, {options.workers} switches"))
        openings.append((ours[-1], _nightmail(options.workers)))
    measure_in_turn(openings, place, options.rounds, options.seconds, lambda line: console.print(line, style="dim"))
    tables = [_throughput(ceiling, rival, ours), _latency([rival, *ours]), _memory([rival, *ours])]
    return tables, _goals(ceiling, rival, ours[0])


def _nightmail(workers: int, command: str = COMMAND) -> Opening:
    def opening(directory: Path, sink_port: int) -> AbstractContextManager[Contender]:
        return Server(directory, sink_port, workers=workers, command=command).serving()

    return opening


def _throughput(ceiling: Result, rival: Result, ours: list[Result]) -> Figures:
    head = ["messages/s relayed (accepted)", "ceiling", "Postfix"]
    for result in ours:
        head += [result.name, "x Postfix", "of the ceiling"]
    rows = []
    for load in LOADS:
        top, base = ceiling.rate(load).relayed_per_s, rival.rate(load)
        row = [str(load), rate(top), f"{rate(base.relayed_per_s)} ({rate(base.accepted_per_s)})"]
        for result in ours:
            own = result.rate(load)
            row.append(f"{rate(own.relayed_per_s)} ({rate(own.accepted_per_s)})")
            row += [f"{own.relayed_per_s / base.relayed_per_s:.1f}", f"{own.relayed_per_s / top:.0%}"]
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


def _goals(ceiling: Result, rival: Result, ours: Result) -> list[Goal]:
    own, base = ours.rate(LOADS[0]).relayed_per_s, rival.rate(LOADS[0]).relayed_per_s
    top, p99_ms = ceiling.rate(LOADS[0]).relayed_per_s, ours.latency().acceptance_p99_ms
    return [
        Goal("4 KiB, sessions reused: at least 6 x Postfix", f"{own / base:.1f} x", own >= 6 * base),
        Goal("at least a third of the ceiling that stores nothing", f"{own / top:.1%}", own >= top / 3),
        Goal("p99 of acceptance under 50 ms at 50 sessions", f"{p99_ms:.1f} ms", p99_ms < 50),
    ]
