"""Messages per second from smtp-source through a switch into smtp-sink, and the latency that a client sees."""

from __future__ import annotations

import shutil
import statistics
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from bench import latency
from bench.contender import Contender
from bench.latency import Latency
from bench.memory import Memory, Peak, of_tree
from bench.processes import CLOCK
from bench.tools import Load, Sink, send, sink

LOADS = (Load(4096, reuse=True), Load(4096, reuse=False), Load(65536, reuse=True), Load(65536, reuse=False))
_LONGEST_S = 120.0
_WARM_UP = 400
_WARM_UP_S = 1.0


class Rate(NamedTuple):
    """One run: how fast messages were accepted, and how fast they had all reached the sink."""

    accepted_per_s: float
    relayed_per_s: float


class Result:
    """Every run of one contender; the medians are what is told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rates: defaultdict[Load, list[Rate]] = defaultdict(list)
        self.ceilings: defaultdict[Load, list[float]] = defaultdict(list)
        self.latencies: list[Latency] = []
        self.idle: list[Memory] = []
        self.peak: list[Memory] = []

    def rate(self, load: Load) -> Rate:
        """The median of the runs, each figure by itself."""
        return Rate(*map(statistics.median, zip(*self.rates[load], strict=True)))

    def share_of_ceiling(self, load: Load) -> float:
        """The median of each run's share of what the tools alone did just before and after it."""
        runs = zip(self.rates[load], self.ceilings[load], strict=True)
        return statistics.median(rate.relayed_per_s / ceiling for rate, ceiling in runs)

    def times(self, rival: Result, load: Load) -> float:
        """How many times the rival's rate: the median of the rounds."""
        rounds = zip(self.rates[load], rival.rates[load], strict=True)
        return statistics.median(own.relayed_per_s / other.relayed_per_s for own, other in rounds)

    def latency(self) -> Latency:
        """The median of the runs, each figure by itself."""
        return Latency(*map(statistics.median, zip(*self.latencies, strict=True)))


Opening = Callable[[Path, int], AbstractContextManager[Contender]]


def measure_in_turn(
    openings: list[tuple[Result, Opening]], directory: Path, rounds: int, seconds: float, say: Callable[[str], None]
) -> None:
    """Run every contender once in each round, so that a slow minute of the machine hits them all alike."""
    for number in range(rounds):
        for result, opening in openings:
            say(f"round {number + 1} of {rounds}: {result.name}")
            place = directory / f"{number}-{len(result.peak)}-{result.name.replace(' ', '-').replace(',', '')}"
            place.mkdir(mode=0o755)
            with sink(place) as target, opening(place, target.port) as contender:
                _measure(result, contender, target, seconds)
            shutil.rmtree(place)


def _measure(result: Result, contender: Contender, target: Sink, seconds: float) -> None:
    result.idle.append(of_tree(contender.pid))
    with Peak(contender.pid) as peak:
        for load in LOADS:
            before = _ceiling(target, load, seconds / 4)
            guess = _run(contender.port, target, load, _WARM_UP).relayed_per_s
            # A second in full flow: processes are forked, caches filled, and what that rate is lasts for a whole run.
            guess = _run(contender.port, target, load, max(_WARM_UP, int(guess * _WARM_UP_S))).relayed_per_s
            result.rates[load].append(_run(contender.port, target, load, max(_WARM_UP, int(guess * seconds))))
            result.ceilings[load].append((before + _ceiling(target, load, seconds / 4)) / 2)
    result.peak.append(peak.memory)
    result.latencies.append(_latency(contender.port, target, result.rates[LOADS[0]][-1], seconds))


def _ceiling(target: Sink, load: Load, seconds: float) -> float:
    """Messages per second from smtp-source straight into the sink: nothing in between, and nothing stored."""
    guess = _run(target.port, target, load, _WARM_UP).relayed_per_s
    return _run(target.port, target, load, max(_WARM_UP, int(guess * seconds))).relayed_per_s


def _run(port: int, target: Sink, load: Load, count: int) -> Rate:
    before = target.count
    begin = CLOCK.elapsed()
    accepted_s = send(port, load, count, _LONGEST_S)
    relayed_s = target.wait_for(before + count, _LONGEST_S) - begin
    return Rate(count / accepted_s, count / relayed_s)


def _latency(port: int, target: Sink, rate: Rate, seconds: float) -> Latency:
    before = target.count
    messages = max(1000, int(rate.relayed_per_s * seconds)) // 50 * 50
    found = latency.measure(port, LOADS[0].size_bytes, messages)
    target.wait_for(before + messages, _LONGEST_S)
    return found
