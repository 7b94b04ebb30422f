"""The directory's master killed under writes, again and again: no write that it acknowledged is lost (R19, R21)."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.conftest import Campaign
from tests.directory.acknowledged import Acknowledged
from tests.directory.slapd_server import Slapd
from tests.e2e.waiting import until
from tests.faults.writing import Writing

from nightmail.directory.sessions import Access
from nightmail.directory.writing import Directory
from nightmail.errors import DirectoryUnavailable

PATIENCE_S = 0.5
SEED = 77


class Writer(Writing):
    """Adds, changes and deletes for as long as it is let, and has what was acknowledged looked for on the shadow."""

    def __init__(self, master: Slapd, shadow: Slapd) -> None:
        super().__init__()
        self.writes = Acknowledged()
        self.confirmed = 0
        self._master = master
        self._shadow = shadow
        self._random = random.Random(SEED)

    @property
    def count(self) -> int:
        """How many the master acknowledged."""
        return self.writes.count

    def write(self) -> None:
        """See `Writing.write`."""
        while not self.is_over.is_set():
            try:
                with Directory(self._master.uri, _quick(self._master)) as directory:
                    while not self.is_over.is_set():
                        self._write_some(directory)
            except DirectoryUnavailable:
                self.failed += 1
                self.is_over.wait(0.02)  # whoever writes tries again, though not all the time

    def _write_some(self, directory: Directory) -> None:
        kinds: list[Callable[[Directory], list[str]]] = [self.writes.add, self.writes.change, self.writes.delete]
        directory.written.clear()
        for write in self._random.choices(kinds, [3, 1, 1], k=5):
            write(directory)
        deadline = time.monotonic() + PATIENCE_S
        with self._shadow.as_account("reader") as shadow:
            while not shadow.has_all(directory.written):
                if time.monotonic() > deadline:  # its master may have died just now
                    return
        self.confirmed += len(directory.written)


def _quick(server: Slapd) -> Access:
    access = server.access("writer")
    return Access(name=access.name, password=access.password, authority=access.authority, timeout_s=PATIENCE_S)


def kill(servers: Iterable[Slapd]) -> None:
    for server in servers:
        server.kill()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Slapd, Slapd]]:
    with Slapd(tmp_path / "master") as master, Slapd(tmp_path / "shadow", 2, master.uri) as shadow:
        yield master, shadow


def test_r19_r21_a_hundred_kills_under_writes_lose_none_of_those_that_the_master_acknowledged(
    pair: tuple[Slapd, Slapd], campaign: Campaign
) -> None:
    """Every fourth time, about, the shadow is killed with it, or frozen and then killed alone."""
    kills = campaign(6, 100)
    master, shadow = pair
    chance = random.Random(SEED)
    with Writer(master, shadow) as writer:
        for _ in range(kills):
            until(partial(writer.has_written, writer.count + 30), "writes are acknowledged")
            time.sleep(chance.random() / 10)  # not to wait for anything: whatever strikes next strikes at any instant
            failed = writer.failed
            struck = chance.choice([(master,), (master,), (master, shadow), (shadow,)])
            if struck == (shadow,):
                shadow.freeze()  # what it is sent meanwhile it takes in its last moment
            else:
                kill(struck)
            until(lambda f=failed: writer.failed > f, "a write fails, or can't be confirmed", 20)  # type: ignore[misc]
            kill(struck)
            for server in struck:
                server.start()
    writes = writer.writes
    until(lambda: not writes.contradictions(shadow), "both have the same")
    assert not writes.contradictions(master)
    sys.stdout.write(
        f"kills {kills}, writes acknowledged {writes.count}, lost on the master 0, on the shadow 0, "
        f"seen on the shadow within {PATIENCE_S} s {writer.confirmed}, failed {writer.failed}\n"
    )
