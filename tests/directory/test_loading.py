"""Entries are loaded by one at a time, whole or not at all, also where whoever loads them has to stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.directory.slapd_server import SUFFIX, Slapd

from nightmail.directory.copying import until_stopped
from nightmail.directory.exclusion import alone_in
from nightmail.errors import ConfigInvalid, DirectoryUnavailable


def test_nobody_loads_entries_beside_somebody_else(tmp_path: Path) -> None:
    server = Slapd(tmp_path / "one")
    with server:
        lines = server.dump()
    others: list[str] = []

    def pieces() -> Iterator[str]:
        for other in (lambda: server.load(lines), server.prepared):
            with pytest.raises(ConfigInvalid, match="somebody else loads entries there") as refused:
                other()
            others.append(str(refused.value))
        yield from lines

    server.load(pieces())
    assert len(others) == 2
    with server:
        assert server.has(SUFFIX)


def test_who_stops_while_entries_come_leaves_those_that_were_there_and_nobody_at_work(tmp_path: Path) -> None:
    server = Slapd(tmp_path / "one")
    with server:
        lines = server.dump()
    stopping = threading.Event()
    taken: list[str] = []

    def pieces() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            stopping.set()
            yield line

    with pytest.raises(DirectoryUnavailable, match="the server stops"):
        server.load(until_stopped(pieces(), stopping))
    assert len(taken) == 1
    assert not (tmp_path / "one" / "loading").exists()
    with alone_in(str(tmp_path / "one")):
        pass
    with server:
        assert server.has(SUFFIX)
