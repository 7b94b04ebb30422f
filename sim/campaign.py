"""Many stories, on all cores: which of them end badly, and what they had in them.

What a story tells depends on its seed alone, so neither does the result on how many processes share the work.

    python -m sim.campaign SEEDS [FIRST]
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from typing import NamedTuple

import structlog

from sim import chance
from sim.checkers import NOTHING, duplicates

_CHUNK = 10
_SHOWN_EVERY_S = 10.0
_SHOWN_FAILURES = 20


class Tally(NamedTuple):
    """What some stories had in them. `failures`: seed and findings of each that ended badly."""

    stories: int = 0
    acknowledged: int = 0
    adoptions: int = 0
    ambiguous: int = 0
    repeated: int = 0
    failures: tuple[tuple[int, str], ...] = ()

    def with_(self, other: Tally) -> Tally:
        """Both."""
        return Tally(
            self.stories + other.stories, self.acknowledged + other.acknowledged, self.adoptions + other.adoptions,
            self.ambiguous + other.ambiguous, self.repeated + other.repeated,
            tuple(sorted(self.failures + other.failures)),
        )  # fmt: skip

    def __str__(self) -> str:
        """In one line."""
        return (
            f"{self.stories} stories: {self.acknowledged} messages acknowledged, {self.adoptions} adoptions, "
            f"{self.ambiguous} copies too many recorded as ambiguous, {self.repeated} because a client heard nothing "
            f"and sent again; {len(self.failures)} stories with violations"
        )


def tell_one(seed: int) -> Tally:
    """One story. What ends it before its end is a finding, too."""
    try:
        findings, world = chance.tell(seed)
    except Exception as error:  # noqa: BLE001 - whatever it is, the seed replays it
        return Tally(1, failures=((seed, f"{type(error).__name__}: {error}"),))
    copies = duplicates(world.ledger)
    return Tally(
        1, len(world.ledger.acknowledged), len(world.adoptions), copies.ambiguous, copies.repeated,
        ((seed, str(findings)),) if findings != NOTHING else (),
    )  # fmt: skip


def tell_some(seeds: range) -> Tally:
    """Stories one after another."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    tally = Tally()
    for seed in seeds:
        tally = tally.with_(tell_one(seed))
    return tally


def tell_many(seeds: range, processes: int) -> Tally:
    """Stories shared out among processes; how far they are is shown on standard error."""
    chunks = [seeds[start : start + _CHUNK] for start in range(0, len(seeds), _CHUNK)]
    tally = Tally()
    shown_at = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(min(processes, len(chunks))) as pool:
        for some in pool.imap_unordered(tell_some, chunks):
            tally = tally.with_(some)
            if time.perf_counter() - shown_at > _SHOWN_EVERY_S:
                shown_at = time.perf_counter()
                sys.stderr.write(f"{tally.stories} of {len(seeds)}, {len(tally.failures)} with violations\n")
    return tally


def main(arguments: list[str]) -> int:
    """Tell so many stories; 1 if one of them ends badly."""
    count, first = int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 0
    tally = tell_many(range(first, first + count), len(os.sched_getaffinity(0)))
    for seed, findings in tally.failures[:_SHOWN_FAILURES]:
        sys.stdout.write(f"seed {seed}: {findings}; replay it with: python -m sim.campaign 1 {seed}\n")
    sys.stdout.write(f"{tally}\n")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
