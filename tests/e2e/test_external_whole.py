"""A server that has everything from one directory, which nightmail only reads, domains beside people (R24)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.directory.authority import Authority
from tests.directory.foreign_slapd import CLIENT, READER, SUFFIX, ForeignSlapd, group, user
from tests.e2e.switch import Switch
from tests.e2e.test_external_directory import answer, send, until_answered

from nightmail.directory.tree import Item, item_of

POLL_S = 0.5
ALICE = user("alice", "SMTP:alice@corp.example", "smtp:a@corp.example")


class Scene(NamedTuple):
    """A server, and the directory that it asks."""

    server: Switch
    directory: ForeignSlapd


def entry(table: str, key: str, value: str) -> Item:
    """An entry of our own schema, beside those of people."""
    item = item_of(table, key, value, SUFFIX)
    return item._replace(dn=f"{item.dn.partition(',ou=')[0]},{SUFFIX}")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    authority = Authority(tmp_path / "ca")
    client = authority.issue(CLIENT)
    with ForeignSlapd(tmp_path / "slapd", authority.issue("server"), most=20) as directory:
        settings = {
            "directory": {
                "topology": "external",
                "uris": [directory.tls_uri],
                "suffix": SUFFIX,
                "certificate_file": client.certificate,
                "key_file": client.key,
                "authority_file": client.authority,
                "schema": "active-directory",
                "data_directory": "data",
                "poll_interval_s": POLL_S,
            }
        }
        server = Switch(tmp_path / "mx1", {}, settings)
        directory.add([
            entry("domains", "corp.example", "local"),
            entry("routes", "corp.example", f"maildir:{server.mail}/{{local_part}}"),
            entry("routes", "*", "discard"),
            entry("clients", "127.0.0.0/8", "relay"),
            *(entry("domains", f"domain{number}.example", "relay") for number in range(30)),
            ALICE,
        ])  # fmt: skip
        with server:
            yield Scene(server, directory)


def test_people_and_domains_come_from_there_and_change_there(scene: Scene) -> None:
    server, directory = scene
    until_answered(server, "a@corp.example", 250)
    assert answer(server, "nobody@corp.example") == 550
    bob = user("bob", "SMTP:bob@new.example")
    directory.add([bob, group("all", "all@new.example", ALICE.dn, bob.dn)])
    directory.add([
        entry("routes", "new.example", f"maildir:{server.mail}/{{local_part}}"),
        entry("domains", "new.example", "local"),
    ])  # fmt: skip
    until_answered(server, "nobody@new.example", 550)  # at first it is nobody's
    until_answered(server, "bob@new.example", 250)
    send(server, "all@new.example")
    server.wait_for_mail("alice")
    server.wait_for_mail("bob")
    here = server.facts("status")["directory"]
    assert (here["role"], here["followed"], here["entries"]) == ("external", directory.tls_uri, 36)
    assert "ldaps" in server.nightmail("status").stdout


def test_it_starts_with_what_was_last_known_while_the_directory_is_away(scene: Scene) -> None:
    server, directory = scene
    until_answered(server, "alice@corp.example", 250)
    directory.kill()
    server.stop()
    server.start()
    assert answer(server, "alice@corp.example") == 451
    assert answer(server, "someone@elsewhere.example") == 250  # by what it knows of routes and clients
    assert "Connection refused" in server.facts("status")["directory"]["asked"][directory.tls_uri]
    assert f"Addresses can't be looked up at {directory.tls_uri}: " in server.nightmail("status").stdout
    up = f'nightmail_directory_replica_up{{switch="0",replica="{directory.tls_uri}"}}'
    assert f"{up} 0" in server.http("/metrics")[1]
    directory.start()
    until_answered(server, "alice@corp.example", 250)
    assert server.facts("status")["directory"]["asked"] == {directory.tls_uri: "ok"}
    assert f"{up} 1" in server.http("/metrics")[1]
    until_answered(server, "nobody@corp.example", 550)


def test_an_entry_that_is_wrong_is_refused_by_its_name(scene: Scene) -> None:
    server, directory = scene
    directory.add([entry("domains", "without-a-route.example", "local")])
    server.wait_for_log("entry refused", f"nmDomain=without-a-route.example,{SUFFIX}")
    assert server.facts("status")["directory"]["refused"] == 1
    until_answered(server, "alice@corp.example", 250)


def test_what_it_says_can_be_written_as_tables(scene: Scene, tmp_path: Path) -> None:
    server, directory = scene
    directory.add([group("all", "all@corp.example", ALICE.dn)])
    done = server.nightmail("directory", "export", str(tmp_path / "out"))
    assert done.returncode == 0, done
    assert (tmp_path / "out" / "mailboxes").read_text() == "a@corp.example\nalice@corp.example\n"
    assert (tmp_path / "out" / "aliases").read_text() == "all@corp.example  alice@corp.example\n"
    assert len((tmp_path / "out" / "domains").read_text().splitlines()) == 31


def test_a_check_judges_people_and_domains_of_the_one_directory(scene: Scene) -> None:
    server, directory = scene
    assert "entries, nothing is wrong" in server.nightmail("directory", "check").stdout
    directory.add([entry("domains", "without-a-route.example", "local"), user("other", "smtp:a@corp.example")])
    done = server.nightmail("directory", "check")
    assert done.returncode == os.EX_CONFIG, done
    assert "✗ nmDomain=without-a-route.example" in done.stdout
    assert f"a@corp.example is an address of {ALICE.dn} as well" in done.stdout
    assert "1 entry can't come into force" in done.stderr


def test_a_server_that_is_refused_says_so_and_takes_no_mail(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    password = tmp_path / "password"
    password.write_text("wrong word")
    password.chmod(0o600)
    with ForeignSlapd(tmp_path / "slapd", authority.issue("server")) as directory:
        settings = {
            "directory": {
                "topology": "external",
                "uris": [directory.uri],
                "suffix": SUFFIX,
                "bind_dn": READER,
                "password_file": str(password),
                "authority_file": str(authority.file),
                "data_directory": "data",
            }
        }
        server = Switch(tmp_path / "mx1", {}, settings)
        server.spawn()
        try:
            server.wait_for_log("directory refuses us", "Invalid credentials", "password_file")
            assert not server.is_ready()
            assert "directory status" in server.http("/ready")[1]
            assert "init" not in server.http("/ready")[1]
            assert "wrong word" not in server.log()
        finally:
            server.kill()
