"""A pair that is configured by a directory of many people: it is filled, asked, changed, and loses its master."""

from __future__ import annotations

import argparse
import asyncio
import signal
import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import uvloop
from rich.console import Console

from bench.directory_failover import failover_figures
from bench.directory_pair import DOMAIN, SUFFIX, Pair, Recipients, answer
from bench.processes import CLOCK, BenchFailed, wait_until
from bench.report import Figures, Goal, rate
from nightmail.admin.replicas import access_of, directory_of, replica_uris, uri_of
from nightmail.directory.lookups import Lookups
from nightmail.directory.sessions import Access
from nightmail.directory.tree import item_of
from nightmail.directory.writing import Directory
from nightmail.errors import DirectoryUnavailable

_PEOPLE = 100_000
_FURTHER = 5_000
_PAUSE_S = 0.005
_LOOKED_UP = 20_000
_AT_A_TIME = 500
_CHANGES = 200
_OUTAGE_S = 6.0
_PATIENCE_S = 10.0


def run(place: Path, _options: argparse.Namespace, console: Console) -> tuple[list[Figures], list[Goal]]:
    """Measure all of it."""
    pair = Pair(place / "single-master")
    _write_tables(pair, _PEOPLE)

    def step(what: str) -> None:
        console.print(what, style="dim", highlight=False)

    step(f"a new directory begins with {_PEOPLE:,} people")
    begin = CLOCK.elapsed()
    pair.run("directory", "init", "--tables", str(pair.place / "tables"))
    with pair.serving("mx1") as first, pair.serving("mx2"):
        _wait_for_everybody(pair)
        import_s = CLOCK.elapsed() - begin
        step(f"{_FURTHER:,} more are imported")
        further = _import_further(pair)
        step(f"{_LOOKED_UP:,} of them are looked up")
        per_s, apart = _looked_up(pair)
        step(f"{_CHANGES} changes, one by one")
        in_force = _changes_in_force(pair)
        step("the server with the master is killed")
        outage = _lose_the_master(pair, first)
        step("its replica begins anew")
        reseed_s = _timed(lambda: pair.run("directory", "reseed"))
    figures, goals = _told((import_s, *further), (per_s, apart), in_force, outage, reseed_s)
    further_figures, further_goals = failover_figures(place / "failover", step)
    return [*figures, *further_figures], [*goals, *further_goals]


def _write_tables(pair: Pair, people: int) -> None:
    tables = pair.place / "tables"
    tables.mkdir(exist_ok=True)
    (tables / "domains").write_text(f"{DOMAIN} local\n")
    (tables / "routes").write_text(f"{DOMAIN} discard\n")
    (tables / "mailboxes").write_text("".join(f"{_person(number)}\n" for number in range(people)))


def _wait_for_everybody(pair: Pair) -> None:
    """Wait until each replica has all people, and both servers know one."""
    config = pair.config()
    settings = directory_of(config)
    access = access_of(settings, "reader", pair.authority)
    for uri in replica_uris(config):
        wait_until(lambda uri=uri: _people_at(uri, settings.suffix, access) == _PEOPLE, "they are there", 300)  # type: ignore[misc]
    for port in pair.ports.values():
        wait_until(lambda port=port: answer(port, _person(0)) == 250, "the people are known", 60)  # type: ignore[misc]


def _people_at(uri: str, suffix: str, access: Access) -> int:
    try:
        with Directory(uri, access) as directory:
            return sum(1 for _ in directory.search(suffix, "(uid=*)", ["1.1"]))
    except DirectoryUnavailable:
        return 0


def _import_further(pair: Pair) -> tuple[float, float]:
    """People a second where the directory runs, with all that an import looks at, and the slowest answer meanwhile."""
    _write_tables(pair, _PEOPLE + _FURTHER)
    session, asked, slowest_s = Recipients(pair.ports["mx2"]), 0, 0.0
    begin = CLOCK.elapsed()
    with ThreadPoolExecutor(1) as pool:
        imported = pool.submit(pair.run, "directory", "import", str(pair.place / "tables"))
        while not imported.done():
            at = CLOCK.elapsed()
            if session.ask(_person(asked)) != 250:
                raise BenchFailed(f"{_person(asked)} is not taken while others are imported")
            slowest_s = max(slowest_s, CLOCK.elapsed() - at)
            asked += 1
            if not asked % 50:
                session.begin_anew()
            time.sleep(_PAUSE_S)
    session.close()
    imported.result()
    return _FURTHER / (CLOCK.elapsed() - begin), slowest_s


def _looked_up(pair: Pair) -> tuple[float, float]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_look_up(pair))


async def _look_up(pair: Pair) -> tuple[float, float]:
    """Lookups per second, and how far apart the replicas' shares are, as a part of the smaller one."""
    config = pair.config()
    settings = directory_of(config)
    lookups = Lookups(
        settings.suffix, replica_uris(config), access_of(settings, "reader", pair.authority), CLOCK,
        base="/", timeout_s=5.0, changed=lambda: None,
    )  # fmt: skip
    running_on = asyncio.create_task(lookups.run())
    while not all(lookups.is_ready(uri) for uri in lookups.asked):  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)
    begin = CLOCK.elapsed()
    for start in range(0, _LOOKED_UP, _AT_A_TIME):
        found = asyncio.Event()
        # As sessions ask: each for itself, many in the same turn of the loop.
        left = _Countdown(_AT_A_TIME, found)
        for number in range(start, start + _AT_A_TIME):
            lookups.look_up([_person(number)], left.count)
        await found.wait()
    took_s = CLOCK.elapsed() - begin
    known = sum(lookups.find(_person(number)).is_mailbox for number in range(_LOOKED_UP))
    running_on.cancel()
    if known != _LOOKED_UP:
        raise BenchFailed(f"{_LOOKED_UP - known} people were not found")
    first, second = lookups.asked.values()
    return _LOOKED_UP / took_s, abs(first - second) / min(first, second)


class _Countdown:
    def __init__(self, count: int, over: asyncio.Event) -> None:
        self._left = count
        self._over = over

    def count(self) -> None:
        """One less."""
        self._left -= 1
        if not self._left:
            self._over.set()


def _changes_in_force(pair: Pair) -> list[float]:
    """Seconds from the acknowledgement of a change until the last server answers by it, for each of many."""
    config = pair.config()
    access = access_of(directory_of(config), "writer", pair.authority)
    sessions = [Recipients(port) for port in pair.ports.values()]
    times = []
    with Directory(uri_of(config, config.master), access) as master:
        for number in range(_CHANGES):
            address = f"new{number // 2}@{DOMAIN}"
            item = item_of("mailboxes", address, "", SUFFIX)
            is_there = not number % 2
            for session in sessions:
                session.begin_anew()
                session.ask(address)  # what is known of it has to be undone
            if is_there:
                master.add([item])
            else:
                master.delete([item.dn])
            begin = CLOCK.elapsed()
            for session in sessions:
                while session.ask(address) != (250 if is_there else 550):
                    if CLOCK.elapsed() - begin > _PATIENCE_S:
                        raise BenchFailed(f"{address}: the change is not in force after {_PATIENCE_S:.0f} s")
            times.append(CLOCK.elapsed() - begin)
    for session in sessions:
        session.close()
    return times


class _Outage(NamedTuple):
    asked: int
    failed: int
    slowest_s: float
    write_s: float


def _lose_the_master(pair: Pair, first: subprocess.Popen[bytes]) -> _Outage:
    """What a client of the other server sees while the one with the master is killed, and whoever writes then."""
    session = Recipients(pair.ports["mx2"])
    asked = failed = 0
    slowest_s, is_killed, write_s = 0.0, False, 0.0
    begin = CLOCK.elapsed()
    while CLOCK.elapsed() - begin < _OUTAGE_S:
        if not is_killed and CLOCK.elapsed() - begin > _OUTAGE_S / 3:
            first.send_signal(signal.SIGKILL)
            is_killed = True
        if not asked % 50:
            session.begin_anew()
        at = CLOCK.elapsed()
        failed += session.ask(_person(_LOOKED_UP + asked)) != 250
        slowest_s = max(slowest_s, CLOCK.elapsed() - at)
        asked += 1
        if asked >= _PEOPLE - _LOOKED_UP:
            break
    session.close()
    config = pair.config("mx2")
    access = access_of(directory_of(config), "writer", pair.authority)
    at = CLOCK.elapsed()
    try:
        Directory(uri_of(config, config.master), access)
    except DirectoryUnavailable:
        write_s = CLOCK.elapsed() - at
    else:
        raise BenchFailed("the master was killed, and takes a write")
    return _Outage(asked, failed, slowest_s, write_s)


def _told(
    imports: tuple[float, float, float],
    lookups: tuple[float, float],
    in_force: list[float],
    outage: _Outage,
    reseed_s: float,
) -> tuple[list[Figures], list[Goal]]:
    import_s, further_per_s, meanwhile_s = imports
    per_s, apart = lookups
    median_s, p99_s = statistics.median(in_force), statistics.quantiles(in_force, n=100)[-1]
    told = [
        (f"{_PEOPLE:,} people imported, and seen on the shadow", "in under 60 s", f"{import_s:.1f} s", import_s < 60),
        (f"{_FURTHER:,} more imported while it runs, a second", "", rate(further_per_s), True),
        ("the slowest answer meanwhile", "under 1 s", _ms(meanwhile_s), meanwhile_s < 1),
        ("lookups a second, nothing known, by one process", "at least 5,000", rate(per_s), per_s >= 5000),
        ("the two replicas' shares of them, apart", "at most 5 %", f"{apart:.1%}", apart <= 0.05),
        ("a change is in force on both servers, median", "", _ms(median_s), True),
        ("a change is in force on both servers, p99", "within 100 ms", _ms(p99_s), p99_s < 0.1),
        ("master killed: recipients not taken", "0", f"{outage.failed} of {outage.asked:,}", not outage.failed),
        ("master killed: the slowest answer", "under 1 s", _ms(outage.slowest_s), outage.slowest_s < 1),
        ("master killed: a write fails after", "under 100 ms", _ms(outage.write_s), outage.write_s < 0.1),
        (f"{_PEOPLE:,} people: a replica begins anew", "in under 60 s", f"{reseed_s:.1f} s", reseed_s < 60),
    ]
    figures = Figures("A pair configured by a directory", ["", "figure"], [[what, found] for what, _, found, _ in told])
    return [figures], [Goal(f"{what}, {wish}", found, is_met) for what, wish, found, is_met in told if wish]


def _person(number: int) -> str:
    return f"user{number}@{DOMAIN}"


def _ms(time_s: float) -> str:
    return f"{time_s * 1000:.1f} ms"


def _timed(work: Callable[[], None]) -> float:
    begin = CLOCK.elapsed()
    work()
    return CLOCK.elapsed() - begin
