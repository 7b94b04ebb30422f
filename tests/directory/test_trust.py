"""Whom a replica and its clients believe: certificates that hold, and addresses that mean themselves."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.directory.slapd_server import SECRET, SUFFIX, Slapd
from tests.directory.test_lookups import asking, eventually
from tests.e2e.waiting import until

from nightmail.directory import certificates
from nightmail.directory.certificates import write_authority, write_certificates
from nightmail.directory.known import Known
from nightmail.directory.sessions import open_session
from nightmail.directory.tree import item_of
from nightmail.errors import DirectoryUnavailable

HOST = "127.0.0.1"
ALICE = item_of("mailboxes", "alice@x.org", "", SUFFIX)


def expired(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as then:
        then.setattr(certificates, "_UNTIL", datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC))
        files = write_certificates(directory, SECRET, "mx1", HOST)
    write_authority(files.authority, SECRET)


def not_yet_valid(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as then:
        then.setattr(certificates, "_FROM", datetime.datetime(2119, 1, 1, tzinfo=datetime.UTC))
        files = write_certificates(directory, SECRET, "mx1", HOST)
    write_authority(files.authority, SECRET)


def of_another_authority(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_certificates(directory, b"the secret of another cluster", "mx1", HOST)
    write_authority(files.authority, SECRET)


def of_another_host(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_certificates(directory, SECRET, "mx1", "192.0.2.1")


@pytest.mark.parametrize("present", [expired, not_yet_valid, of_another_authority, of_another_host])
def test_a_replica_whose_certificate_does_not_hold_is_not_spoken_to_by_clients_or_its_shadow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, present: Callable[[str, pytest.MonkeyPatch], None]
) -> None:
    with Slapd(tmp_path / "master") as master, Slapd(tmp_path / "shadow", 2, master.uri) as shadow:
        with master.as_account("writer") as directory:
            directory.add([ALICE])
            until(lambda: shadow.has(ALICE.dn), "alice is on the shadow")
            shadow.kill()
            directory.delete([ALICE.dn])
        master.kill()
        present(master.replica.directory, monkeypatch)
        for server in (master, shadow):
            server.spawn()
        until(lambda: shadow.has_said("ldap_start_tls failed (-11)"), "the shadow turned away from its master")
        with pytest.raises(DirectoryUnavailable, match="its certificate is not to be trusted"):
            open_session(master.uri, master.access("reader"))
        assert reason_not_to_ask(master, shadow).startswith(f"{master.uri}: ")
        assert shadow.has(ALICE.dn)

        master.kill()
        write_certificates(master.replica.directory, SECRET, "mx1", HOST)
        master.start()
        until(lambda: not shadow.has(ALICE.dn), "the shadow follows its master again")


def reason_not_to_ask(server: Slapd, other: Slapd) -> str:
    """Why lookups do not ask one replica, while they ask the other."""

    async def scene() -> str:
        async with asking(server, other) as asks:
            await asks.until_asked(other)
            assert (await asks.ask("alice@x.org"))[0].is_mailbox
            await eventually(lambda: any(line["event"] == "directory replica not asked" for line in logs))
            assert not asks.lookups.is_ready(server.uri)
        return str(next(line["reason"] for line in logs if line["event"] == "directory replica not asked"))

    with capture_logs() as logs:
        return asyncio.run(scene())


ODD = [
    "*@x.org",
    "a*@x.org",
    '"*)(uid=*"@x.org',
    '"alice@x.org)(|(mail=*"@x.org',
    '"\\\\2a"@x.org',
    '"al\0ice"@x.org',
    "alice\0@x.org",
    '"(&)"@x.org',
    "ü*@x.org",
]


@pytest.mark.parametrize("odd", ODD)
def test_an_address_finds_its_own_entry_and_no_other_whatever_is_written_in_it(tmp_path: Path, odd: str) -> None:
    entry = item_of("mailboxes", odd, "", SUFFIX)

    async def scene(master: Slapd) -> None:
        async with asking(master) as asks:
            await asks.until_asked(master)
            assert await asks.ask(odd) == [Known()]
            if "\0" in odd:
                return
            with master.as_account("writer") as directory:
                directory.add([entry])
            await eventually(lambda: asks.is_missing(odd))
            assert [known.is_mailbox for known in await asks.ask(odd, "bob@x.org", "alic@x.org")] == [
                True,
                False,
                False,
            ]

    with Slapd(tmp_path / "master") as master:
        with master.as_account("writer") as directory:
            directory.add([ALICE])
        asyncio.run(scene(master))
