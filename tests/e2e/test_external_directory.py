"""A server whose people and lists are in a 389 Directory Server that is not ours, and the rest in tables (R24)."""

from __future__ import annotations

import os
import smtplib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.directory.authority import Authority
from tests.directory.ns_slapd_server import PASSWORD, READER, SUFFIX, NsSlapd
from tests.e2e.switch import Switch
from tests.e2e.waiting import PATIENCE_S, until

POLL_S = 0.5
TABLES = {
    "domains": "example.com local\n",
    "routes": "example.com maildir:{mail}/{{local_part}}\n",
    "clients": "127.0.0.0/8 relay\n",
}


class Scene(NamedTuple):
    """A server, and the directory that it asks."""

    server: Switch
    directory: NsSlapd


def settings(directory: Path, asked: NsSlapd, authority: Authority) -> dict[str, dict[str, object]]:
    """What the server is told."""
    password = directory / "directory.password"
    password.write_text(f"{PASSWORD}\n")
    password.chmod(0o600)
    return {
        "directory": {
            "topology": "external", "uris": [asked.tls_uri, asked.uri], "suffix": SUFFIX, "bind_dn": READER,
            "password_file": str(password), "authority_file": str(authority.file), "schema": "389ds",
            "poll_interval_s": POLL_S,
        },
        "tables": {"directory": "tables"},
    }  # fmt: skip


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    authority = Authority(tmp_path / "ca")
    with NsSlapd(tmp_path / "ds", authority) as directory:
        directory.add_person("alice", "alice@example.com", "a@example.com")
        server = Switch(tmp_path / "mx1", TABLES, settings(tmp_path, directory, authority))
        with server:
            yield Scene(server, directory)


def answer(server: Switch, recipient: str) -> int:
    with smtplib.SMTP("127.0.0.1", server.port, timeout=PATIENCE_S) as client:
        client.helo("client.test")
        client.mail("bob@example.net")
        return client.rcpt(recipient)[0]


def until_answered(server: Switch, recipient: str, code: int) -> None:
    until(lambda: answer(server, recipient) == code, f"{code} to {recipient}")


def send(server: Switch, *recipients: str) -> None:
    with smtplib.SMTP("127.0.0.1", server.port, timeout=PATIENCE_S) as client:
        client.sendmail("bob@example.net", recipients, "Subject: hello\r\n\r\nhello\r\n")


def group(directory: NsSlapd, address: str, *members: str) -> str:
    """Add a list with these members; its name."""
    name = f"cn={address.partition('@')[0]},ou=groups,{SUFFIX}"
    attributes = {
        "objectClass": ["top", "groupOfUniqueNames", "mailGroup"],
        "cn": [address.partition("@")[0]], "mail": [address], "uniqueMember": [*members],
    }  # fmt: skip
    directory.add(name, attributes)
    return name


def test_who_is_in_the_directory_gets_mail_and_who_is_not_is_refused(scene: Scene) -> None:
    server = scene.server
    for address in ("alice@example.com", "a@example.com", "ALICE@Example.COM"):
        until_answered(server, address, 250)
    assert answer(server, "nobody@example.com") == 550
    assert answer(server, "*@example.com") == 550
    send(server, "alice@example.com")
    server.wait_for_mail("alice")


def test_a_list_reaches_its_members_other_lists_included(scene: Scene) -> None:
    server, directory = scene
    bob = directory.add_person("bob", "bob@example.com")
    directory.add_person("carol, c", "carol@example.com")
    group(directory, "team@example.com", bob, f"UID=Carol\\, C, ou=people,{SUFFIX}")
    group(directory, "all@example.com", f"uid=alice,ou=people,{SUFFIX}", f"cn=team,ou=groups,{SUFFIX}", READER)
    until_answered(server, "all@example.com", 250)
    send(server, "all@example.com")
    for name in ("alice", "bob", "carol"):
        server.wait_for_mail(name)


def test_a_change_is_in_force_after_the_interval_at_the_latest(scene: Scene) -> None:
    server, directory = scene
    until_answered(server, "alice@example.com", 250)
    assert answer(server, "dora@example.com") == 550
    name = directory.add_person("dora", "dora@example.com")
    until(lambda: answer(server, "dora@example.com") == 250, "dora is known", POLL_S + 3)
    directory.modify(name, nsAccountLock=["true"])
    until(lambda: answer(server, "dora@example.com") == 550, "dora is locked", POLL_S + 3)
    directory.delete(f"uid=alice,ou=people,{SUFFIX}")
    directory.add_person("eve", "eve@example.com")
    until(lambda: answer(server, "alice@example.com") == 550, "alice is gone", POLL_S + 3)


def test_mail_for_whom_nobody_can_be_asked_about_waits_and_is_not_refused(scene: Scene) -> None:
    server, directory = scene
    directory.add_person("bob", "bob@example.com")
    until_answered(server, "alice@example.com", 250)
    directory.kill()
    assert answer(server, "bob@example.com") == 451
    assert answer(server, "nobody@example.com") == 451
    assert answer(server, "alice@example.com") in (250, 451)  # known, unless that was too long ago
    server.wait_for_log("directory replica not asked", "until one can be asked")
    server.wait_for_log("directory can't be asked", directory.uri)
    assert server.http("/ready")[0] == 200
    directory.start()
    until_answered(server, "bob@example.com", 250)
    assert answer(server, "nobody@example.com") == 550


def test_a_directory_that_hangs_costs_451_and_is_back_once_it_answers(scene: Scene) -> None:
    server, directory = scene
    until_answered(server, "alice@example.com", 250)
    directory.freeze()
    assert answer(server, "bob@example.com") == 451
    directory.kill()
    directory.start()
    until_answered(server, "bob@example.com", 550)


def test_a_directory_that_shows_nobody_is_out_of_reach(scene: Scene) -> None:
    server, directory = scene
    until_answered(server, "alice@example.com", 250)
    directory.modify(SUFFIX, aci=[])
    until_answered(server, "nobody@example.com", 451)
    server.wait_for_log("directory replica not asked", "what the account may read")


def test_the_commands_read_it_and_refuse_to_change_it(scene: Scene, tmp_path: Path) -> None:
    server, directory = scene
    until_answered(server, "alice@example.com", 250)
    facts = server.facts("directory", "status")
    assert [(each["uri"], each["state"], each["changes"], each["entries"]) for each in facts] == [
        (directory.tls_uri, "ok", "polled", 1), (directory.uri, "ok", "polled", 1)
    ]  # fmt: skip
    shown = server.nightmail("directory", "search", "(mail=alice@example.com)").stdout
    assert "mailAlternateAddress: a@example.com" in shown
    here = server.facts("status")["directory"]
    assert (here["role"], here["followed"]) == ("external", str(server.directory / "tables"))
    for words in (
        ["init"], ["reseed"], ["backup", str(tmp_path / "x")], ["restore", str(tmp_path / "x")], ["add"], ["modify"],
        ["delete", "uid=x"], ["import", str(server.directory / "tables")],
        ["promote"],
    ):  # fmt: skip
        done = server.nightmail("directory", *words)
        assert done.returncode == os.EX_CONFIG, words
        assert "nightmail does not run this directory, and only reads it; its own tools change it" in done.stderr
    done = server.nightmail("check")
    assert done.returncode == 0, done
    assert directory.uri in done.stdout
    assert f"judged    {directory.tls_uri}" in done.stdout


def test_a_check_names_what_gets_no_mail_and_nothing_that_is_no_business_of_ours(scene: Scene) -> None:
    server, directory = scene
    alice = directory.add_person("carol", "carol@elsewhere.example", "c@elsewhere.example")
    group(directory, "all@example.com", alice, f"uid=nobody,ou=people,{SUFFIX}")
    done = server.nightmail("directory", "check")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "entries, nothing is wrong" in done.stdout
    first, second = (group(directory, f"{name}@example.com", alice) for name in ("one", "two"))
    directory.modify(second, mail=["one@example.com"])
    done = server.nightmail("directory", "check")
    assert done.returncode == os.EX_CONFIG, done
    assert (
        f"{second}: one@example.com is an address of {first} as well: its mail goes where that one says" in done.stdout
    )
    done = server.nightmail("check")
    assert "1 entry can't come into force, or get no mail: `nightmail directory check` names them" in done.stdout
    directory.kill()
    done = server.nightmail("check")
    assert done.returncode == os.EX_TEMPFAIL, done
    assert "no server of the directory can be asked" in done.stderr
    assert f"! {directory.tls_uri}: " in done.stdout
