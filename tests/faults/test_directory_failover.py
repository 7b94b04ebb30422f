"""The directory's master struck in every way, under writes: they go on at the other server, and none that was
acknowledged is lost or undone (R22).
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.conftest import Campaign
from tests.e2e.directories import DirectoryPair, directory, replica_pid
from tests.e2e.switch import Switch
from tests.e2e.waiting import until
from tests.faults.confirmed_writing import ConfirmedWriter

SEED = 91


@contextmanager
def replica_killed(server: Switch) -> Iterator[None]:
    os.kill(replica_pid(server), signal.SIGKILL)
    yield


@contextmanager
def server_killed(server: Switch) -> Iterator[None]:
    server.kill()
    yield
    server.start()


@contextmanager
def replica_hung(server: Switch) -> Iterator[None]:
    pid = replica_pid(server)
    os.kill(pid, signal.SIGSTOP)
    yield
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return  # it was killed meanwhile, for it hung


@contextmanager
def server_hung(server: Switch) -> Iterator[None]:
    with server.frozen():
        yield


STRIKES: list[Callable[[Switch], AbstractContextManager[None]]] = [
    server_killed,
    replica_killed,
    replica_hung,
    server_hung,
]


def both_in_sync(pair: DirectoryPair) -> bool:
    return len(directory(pair.second).in_sync) == 2 == len(directory(pair.first).in_sync)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[DirectoryPair]:
    made = DirectoryPair(tmp_path, "failover")
    made.run("init")
    with made.first, made.second:
        until(partial(both_in_sync, made), "both replicas in sync")
        made.fill()
        yield made


def test_r22_a_hundred_strikes_at_the_master_under_writes_lose_none_that_was_acknowledged(
    pair: DirectoryPair, campaign: Campaign, tmp_path: Path
) -> None:
    """Every fifth strike is at the shadow: writes go on with the master alone once that is on record."""
    strikes = campaign(6, 100)
    servers = {"mx1": pair.first, "mx2": pair.second}
    chance = random.Random(SEED)
    outages_s = []
    with ConfirmedWriter(pair.second, SEED, tmp_path) as writer:
        for number in range(strikes):
            until(partial(writer.has_written, writer.count + 10), "writes are acknowledged", 60)
            until(partial(both_in_sync, pair), "both replicas in sync", 60)
            time.sleep(chance.random() / 5)  # not to wait for anything: whatever strikes next strikes at any instant
            master = directory(pair.second).master
            target = master if chance.random() < 0.8 else next(name for name in servers if name != master)
            strike = STRIKES[number % len(STRIKES)]
            began, written = time.monotonic(), writer.count
            with strike(servers[target]):
                until(partial(writer.has_written, written + 2), f"writes go on after {strike.__name__}", 60)
                outages_s.append(time.monotonic() - began)
        until(partial(both_in_sync, pair), "both replicas in sync", 60)
    assert not writer.refused
    until(lambda: not writer.contradictions("mx1") and not writer.contradictions("mx2"), "both have what counts")
    sys.stdout.write(
        f"strikes {strikes}, writes acknowledged {writer.count}, lost 0, not acknowledged {writer.failed}, "
        f"writes go on after {statistics.median(outages_s):.2f} s in the median, {max(outages_s):.2f} s at most\n"
    )
