"""A server whose replica's file is damaged: mail goes on by the other one, it is named, and a reseed mends it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.directories import DirectoryPair, answer, until_answered
from tests.e2e.waiting import until


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[DirectoryPair]:
    made = DirectoryPair(tmp_path)
    made.run("init")
    with made.first, made.second:
        made.fill()
        yield made


def test_mail_goes_on_while_a_replicas_file_is_damaged_and_a_reseed_mends_it(servers: DirectoryPair) -> None:
    second = servers.second
    until_answered(second, "alice@example.org", 250)
    second.stop()
    with (second.directory / "data" / "entries" / "data.mdb").open("r+b") as file:
        file.write(b"\xff" * 8192)
    second.start()
    second.wait_for_log("directory replica can't be started", "the entries are damaged", "nightmail directory reseed")
    until_answered(second, "alice@example.org", 250)
    assert answer(second, "nobody@example.org") == 550
    assert "damaged" in second.facts("status")["directory"]["fault"]
    second.stop()
    before = second.log_size()
    second.start()
    second.wait_for_log("directory replica can't be started", "the entries are damaged", since=before)
    assert not second.logged("directory replica started", since=before), "it is remembered, and slapd not tried again"
    second.stop()
    done = second.nightmail("directory", "reseed")
    assert done.returncode == 0, done
    second.start()
    until(lambda: servers.first.facts("directory", "status")[1]["behind"] == 0, "both have the same")
