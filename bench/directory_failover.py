"""The same pair with a master that fails over: what a write costs, and how soon writes go on at the other server."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench.directory_pair import DOMAIN, NAMES, SUFFIX, Pair
from bench.processes import CLOCK, BenchFailed, wait_until
from bench.report import Figures, Goal
from nightmail.admin.mastering import confirm, master_now
from nightmail.admin.replicas import access_of, directory_of, uri_of
from nightmail.config.settings import Config
from nightmail.directory.tree import item_of
from nightmail.directory.writing import Directory
from nightmail.errors import DirectoryUnavailable

_STRIKES = 10
_WRITES = 100
_LEASE_S = 1.0
_PATIENCE_S = 30.0


def failover_figures(place: Path, step: Callable[[str], None]) -> tuple[list[Figures], list[Goal]]:
    """Measure it in `place`; `step` says what is done."""
    pair = Pair(place, "failover")
    pair.run("directory", "init")
    step("a master that fails over")
    with ExitStack() as stack:
        running = {name: stack.enter_context(ExitStack()) for name in NAMES}
        processes = {name: running[name].enter_context(pair.serving(name)) for name in NAMES}
        _wait_for_both(pair)
        writer = _Writer(pair)
        costs = [writer.timed_write() for _ in range(_WRITES)]
        outages = []
        for _ in range(_STRIKES):
            struck = master_now(pair.config()).server
            processes[struck].kill()
            outages.append(writer.write_until_acknowledged())
            running[struck].close()
            processes[struck] = running[struck].enter_context(pair.serving(struck))
            _wait_for_both(pair)
    return _told(costs, outages)


def _wait_for_both(pair: Pair) -> None:
    def are_in_sync() -> bool:
        try:
            role = master_now(pair.config()).role
        except DirectoryUnavailable:
            return False
        return role is not None and len(role.in_sync) == len(NAMES)

    wait_until(are_in_sync, "both replicas are in sync", 60)


class _Writer:
    """Writes as `nightmail directory add` does."""

    def __init__(self, pair: Pair) -> None:
        self._config: Config = pair.config()
        self._settings = directory_of(self._config)
        self._authority = pair.authority
        self._number = 0

    def timed_write(self) -> float:
        """How long an entry takes from its sending to its acknowledgement. Raises: DirectoryUnavailable."""
        self._number += 1
        item = item_of("mailboxes", f"write{self._number}@{DOMAIN}", "", SUFFIX)
        master = master_now(self._config)
        access = access_of(self._settings, "writer", self._authority)
        with Directory(uri_of(self._config, master.server), access, is_gated=True) as directory:
            begin = CLOCK.elapsed()
            directory.add([item])
            confirm(self._config, master, access, directory.written, is_whole=False)
            return CLOCK.elapsed() - begin

    def write_until_acknowledged(self) -> float:
        """How long it takes until a write is acknowledged again."""
        begin = CLOCK.elapsed()
        while CLOCK.elapsed() - begin < _PATIENCE_S:
            try:
                self.timed_write()
            except DirectoryUnavailable:
                continue
            return CLOCK.elapsed() - begin
        raise BenchFailed(f"no write is acknowledged for {_PATIENCE_S:.0f} s")


def _told(costs: list[float], outages: list[float]) -> tuple[list[Figures], list[Goal]]:
    wish_s = _LEASE_S + 1
    told = [
        ("a write acknowledged by both, median", f"{statistics.median(costs) * 1000:.1f} ms"),
        ("master's server killed: writes go on, median", f"{statistics.median(outages):.2f} s"),
        (f"master's server killed: writes go on, at most, of {len(outages)}", f"{max(outages):.2f} s"),
    ]
    figures = Figures(f"A master that fails over, lease {_LEASE_S:g} s", ["", "figure"], [[*each] for each in told])
    goal = Goal(f"{told[2][0]}, lease and 1 s", told[2][1], max(outages) < wish_s)
    return [figures], [goal]
