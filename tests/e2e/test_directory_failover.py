"""A pair whose directory's master fails over: writes go on at the other server, and none that was acknowledged is lost
(R22).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.directories import DirectoryPair, answer, directory, send, until_answered
from tests.e2e.switch import Switch
from tests.e2e.waiting import until


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[DirectoryPair]:
    made = DirectoryPair(tmp_path, "failover")
    made.run("init")
    with made.first, made.second:
        until_in_sync(made.first)
        made.fill()
        yield made


def until_in_sync(server: Switch) -> None:
    until(lambda: len(directory(server).in_sync) == 2, "both replicas in sync", 30)


def master(server: Switch) -> str:
    return directory(server).master


def add(server: Switch, name: str) -> int:
    ldif = (
        f"dn: uid={name}@example.org,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\n"
        f"objectClass: inetLocalMailRecipient\nuid: {name}@example.org\ncn: {name}\nsn: {name}\n"
        f"mailLocalAddress: {name}@example.org\n"
    )
    file = server.directory / f"{name}.ldif"
    file.write_text(ldif)
    return server.nightmail("directory", "add", str(file)).returncode


def test_with_the_masters_server_dead_the_other_takes_writes(servers: DirectoryPair) -> None:
    assert add(servers.first, "carol") == os.EX_OK
    servers.first.kill()
    until(lambda: add(servers.second, "dave") == os.EX_OK, "writes go on")
    assert master(servers.second) == "mx2"
    until_answered(servers.second, "dave@example.org", 250)
    assert answer(servers.second, "carol@example.org") == 250
    servers.first.start()
    until_in_sync(servers.second)
    assert master(servers.first) == "mx2"
    until_answered(servers.first, "dave@example.org", 250)
    send(servers.first, "alice@example.org")
