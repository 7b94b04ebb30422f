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
from tests.faults.writing import Writing

from nightmail.admin.mastering import confirm, master_now
from nightmail.admin.replicas import access_of, directory_of, uri_of
from nightmail.config.loading import load
from nightmail.directory.certificates import write_authority
from nightmail.directory.tree import Item, item_of
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable

SUFFIX = "dc=example,dc=org"
SEED = 91


class Writer(Writing):
    """Adds, changes and deletes as `nightmail directory` does, for as long as it is let, with a ledger."""

    def __init__(self, server: Switch, scratch: Path) -> None:
        super().__init__()
        self.config = load(str(server.config_file), server.name)
        self.there: dict[str, str] = {}
        self.gone: set[str] = set()
        self.doubtful: set[str] = set()
        self._count = 0
        self.refused: list[str] = []
        self._authority = str(scratch / "authority.pem")
        self._random = random.Random(SEED)
        self._number = 0
        settings = directory_of(self.config)
        write_authority(self._authority, Path(settings.secret_file).read_bytes().strip())

    @property
    def count(self) -> int:
        """How many count."""
        return self._count

    def replica(self, server: str, account: str) -> Directory:
        """A server's replica, as one of the accounts."""
        access = access_of(directory_of(self.config), account, self._authority)
        return Directory(uri_of(self.config, server), access, is_gated=True)

    def contradictions(self, server: str) -> list[str]:
        """What a replica has that was acknowledged otherwise."""
        with self.replica(server, "reader") as replica:
            found = {
                item.dn: item.attributes["description"][0]
                for item in replica.search(f"ou=people,{SUFFIX}", "(description=*)", ["description"])
            }
        wrong = [f"{dn}: {text} and not {found.get(dn)}" for dn, text in self.there.items() if found.get(dn) != text]
        return wrong + [f"{dn} is back" for dn in self.gone & found.keys()]

    def write(self) -> None:
        """See `Writing.write`."""
        while not self.is_over.is_set():
            try:
                self._write_one()
            except DirectoryUnavailable:
                self.failed += 1
                self.is_over.wait(0.02)  # whoever writes tries again, though not all the time

    def _write_one(self) -> None:
        self._number += 1
        master = master_now(self.config)
        settled = [dn for dn in self.there if dn not in self.doubtful]
        kind = self._random.choice(("add", "change", "delete")) if len(settled) > 10 else "add"
        new = item_of("mailboxes", f"box{self._number}@example.org", "", SUFFIX)
        dn, text = new.dn if kind == "add" else self._random.choice(settled), str(self._number)
        self.doubtful.add(dn)
        before = self.there.pop(dn, None)
        try:
            with self.replica(master.server, "writer") as replica:
                if kind == "add":
                    replica.add([Item(dn, {**new.attributes, "description": (text,)})])
                elif kind == "change":
                    replica.replace([Item(dn, {"description": (text,)})])
                else:
                    replica.delete([dn])
                access = access_of(directory_of(self.config), "reader", self._authority)
                confirm(self.config, master, access, replica.written, is_whole=False)
        except ConfigInvalid as error:
            self.refused.append(f"{dn} ({kind}, {before} before): {error}")
            return
        self.doubtful.discard(dn)
        self._count += 1
        if kind == "delete":
            self.gone.add(dn)
        else:
            self.there[dn] = text


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
        until(partial(both_in_sync, made), "both replicas in sync", 30)
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
    with Writer(pair.second, tmp_path) as writer:
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
    until(lambda: not writer.contradictions("mx1") and not writer.contradictions("mx2"), "both have what counts", 30)
    sys.stdout.write(
        f"strikes {strikes}, writes acknowledged {writer.count}, lost 0, not acknowledged {writer.failed}, "
        f"writes go on after {statistics.median(outages_s):.2f} s in the median, {max(outages_s):.2f} s at most\n"
    )
