"""A pair that is configured by a directory: a master on server 1, its shadow on server 2 (R15, R18-R21)."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.directories import TABLES, DirectoryPair, answer, replica_pid, send, until_answered
from tests.e2e.switch import Switch
from tests.e2e.waiting import until


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[DirectoryPair]:
    made = DirectoryPair(tmp_path)
    made.run("init")
    with made.first, made.second:
        made.fill()
        yield made


def test_what_the_directory_says_is_in_force_on_both_servers(servers: DirectoryPair) -> None:
    for server in (servers.first, servers.second):
        until_answered(server, "alice@example.org", 250)
        assert answer(server, "nobody@example.org") == 550
        for local_part in ("*", "a*", '"*)(uid=*"', '"alice@example.org)(|(cn=*"', '"\\\\2a"'):
            assert answer(server, f"{local_part}@example.org") == 550  # it means itself, and nobody has it
        send(server, "team@example.org")
    servers.first.wait_for_mail("alice", 2)
    servers.fill(mailboxes="alice@example.org\ncarol@example.org\n")
    for server in (servers.first, servers.second):
        until_answered(server, "carol@example.org", 250)
    servers.fill()
    for server in (servers.first, servers.second):
        until_answered(server, "carol@example.org", 550)


def test_with_the_masters_server_dead_mail_flows_and_it_starts_again(servers: DirectoryPair) -> None:
    until_answered(servers.second, "alice@example.org", 250)
    servers.first.kill()
    send(servers.second, "alice@example.org")
    servers.first.wait_for_mail("alice")
    servers.second.stop()
    servers.second.start()  # with its own replica, and the last copy
    send(servers.second, "alice@example.org")
    servers.first.wait_for_mail("alice", 2)
    done = servers.second.nightmail("directory", "import", str(servers.tables))
    assert done.returncode == os.EX_TEMPFAIL, done
    servers.first.start()
    servers.fill(mailboxes="alice@example.org\ncarol@example.org\n")
    until_answered(servers.second, "carol@example.org", 250)


def test_who_was_added_at_the_master_alone_is_not_refused_by_a_shadow_that_starts_while_it_is_away(
    servers: DirectoryPair,
) -> None:
    servers.second.stop()
    servers.fill(mailboxes="alice@example.org\ncarol@example.org\n")
    servers.first.kill()
    servers.second.start()
    until_answered(servers.second, "alice@example.org", 250)
    assert answer(servers.second, "carol@example.org") == 451
    servers.first.start()
    until_answered(servers.second, "carol@example.org", 250)
    until_answered(servers.second, "nobody@example.org", 550)
    servers.first.kill()
    until(lambda: answer(servers.second, "somebody@example.org") == 550, "the shadow was seen to have everything")


def test_a_replica_that_is_killed_is_started_again(servers: DirectoryPair) -> None:
    until_answered(servers.first, "alice@example.org", 250)
    before = replica_pid(servers.first)
    os.kill(before, 9)
    servers.first.wait_for_log("directory replica died")
    until(lambda: replica_pid(servers.first) not in (0, before), "another replica")
    assert answer(servers.first, "alice@example.org") == 250
    until(lambda: servers.first.nightmail("directory", "search", "(cn=x)").returncode == 0, "the replica answers")
    servers.fill(mailboxes="alice@example.org\ncarol@example.org\n")
    for server in (servers.first, servers.second):
        until_answered(server, "carol@example.org", 250)


def test_tables_to_the_directory_and_back_are_the_same_text(servers: DirectoryPair, tmp_path: Path) -> None:
    servers.run("export", str(tmp_path / "out"))
    texts = {name: (tmp_path / "out" / name).read_text() for name in TABLES}
    assert texts["mailboxes"] == "alice@example.org\n"
    assert texts["routes"] == f"example.org  maildir:{servers.first.mail}/{{local_part}}\n"
    assert "Entries added: 0, changed: 0, deleted: 0" in servers.run("import", str(tmp_path / "out"), "--delete")
    servers.run("export", str(tmp_path / "again"))
    assert {name: (tmp_path / "again" / name).read_text() for name in TABLES} == texts


CAROL = """\
dn: uid=carol,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
objectClass: inetLocalMailRecipient
uid: carol
cn: Carol
sn: C
mailLocalAddress: carol@example.org
"""
MOVED = """\
dn: uid=carol,ou=people,dc=example,dc=org
changetype: modify
replace: mailLocalAddress
mailLocalAddress: c@example.org
-
"""


def test_single_entries_are_added_changed_and_deleted(servers: DirectoryPair) -> None:
    for command, ldif, known, unknown in (
        ("add", CAROL, "carol@example.org", "c@example.org"),
        ("modify", MOVED, "c@example.org", "carol@example.org"),
    ):
        done = servers.first.nightmail("directory", command, stdin=ldif.encode())
        assert (done.returncode, done.stderr) == (0, ""), done
        for server in (servers.first, servers.second):
            until_answered(server, known, 250)
            until_answered(server, unknown, 550)
    again = servers.first.nightmail("directory", "add", stdin=CAROL.encode())
    assert again.returncode == os.EX_DATAERR
    assert "uid=carol,ou=people,dc=example,dc=org: it is there already, and says something else" in again.stderr
    done = servers.first.nightmail("directory", "delete", "uid=carol,ou=people,dc=example,dc=org")
    assert (done.returncode, done.stderr) == (0, ""), done
    until_answered(servers.second, "c@example.org", 550)


POLICY = """\
dn: cn=patience,ou=policies,dc=example,dc=org
objectClass: nmPolicy
cn: patience
nmSetting: retry_first_s=77
nmSetting: retry_max_s=770
"""


def test_a_policy_is_in_force_on_both_servers_without_a_restart(servers: DirectoryPair) -> None:
    bad = servers.first.nightmail("directory", "add", stdin=POLICY.replace("=77\n", "=soon\n").encode())
    assert bad.returncode == os.EX_DATAERR
    assert "cn=patience,ou=policies,dc=example,dc=org: 'soon' is not a number" in bad.stderr
    done = servers.first.nightmail("directory", "add", stdin=POLICY.encode())
    assert (done.returncode, done.stderr) == (0, ""), done
    for server in (servers.first, servers.second):
        server.wait_for_log("policies in force", "retry_first_s=77", "retry_max_s=770")
    servers.run("delete", "cn=patience,ou=policies,dc=example,dc=org")
    servers.first.wait_for_log("policies in force", "^(?!.*retry_)")
    servers.second.wait_for_log("policies in force", "^(?!.*retry_)")


def test_how_the_replicas_stand_is_seen(servers: DirectoryPair) -> None:
    until(lambda: servers.first.facts("directory", "status")[1]["behind"] == 0, "the shadow has what the master has")
    master, shadow = servers.first.facts("directory", "status")
    assert (master["role"], master["state"], master["clock_s"]) == ("master", "ok", pytest.approx(0, abs=2))
    assert (shadow["role"], shadow["state"], shadow["behind"]) == ("shadow", "ok", 0)
    assert master["entries"] == shadow["entries"] > 6
    assert 0 < master["used_bytes"] < master["room_bytes"]
    servers.second.kill()
    written = servers.first.nightmail("directory", "add", stdin=CAROL.encode())
    assert written.returncode == 0
    assert "written on mx1 alone, and not yet seen on mx2" in written.stderr
    _, shadow = servers.first.facts("directory", "status")
    assert "Connection refused" in shadow["state"]
    assert shadow["entries"] is None
    here = servers.first.facts("status")["directory"]
    assert (here["role"], here["state"], here["refused"]) == ("master", "running", 0)


def names(server: Switch) -> list[str]:
    return sorted(item["dn"] for item in server.facts("directory", "search"))


def test_a_master_that_lost_its_disk_has_again_what_the_shadow_had(servers: DirectoryPair, tmp_path: Path) -> None:
    before = names(servers.first)
    running = servers.first.nightmail("directory", "reseed")
    assert running.returncode == os.EX_CONFIG
    assert "the server runs" in running.stderr
    servers.first.kill()
    shutil.rmtree(servers.first.directory / "data")
    servers.first.spawn()
    servers.first.wait_for_log("the master of dc=example,dc=org has no entries", "nightmail directory reseed")
    until(servers.first.is_ready, "it takes mail, with the shadow")
    until_answered(servers.first, "alice@example.org", 250)
    servers.first.stop()
    anew = servers.first.nightmail("directory", "init")
    assert anew.returncode == os.EX_CONFIG
    assert "this replica has the directory" in anew.stderr
    done = servers.first.nightmail("directory", "reseed")
    assert done.returncode == 0, done
    servers.first.start()
    until(lambda: servers.first.facts("directory", "status")[1]["behind"] == 0, "both have the same")
    assert names(servers.first) == before
    done = servers.first.nightmail("directory", "add", stdin=CAROL.encode())
    assert (done.returncode, done.stderr) == (0, ""), done
    until_answered(servers.second, "carol@example.org", 250)


def test_what_a_backup_has_can_be_restored(servers: DirectoryPair, tmp_path: Path) -> None:
    before = names(servers.first)
    file = tmp_path / "backup.ldif"
    servers.run("backup", str(file))
    assert file.stat().st_mode & 0o077 == 0
    assert servers.first.nightmail("directory", "backup", str(file)).returncode == os.EX_DATAERR
    cut = tmp_path / "cut.ldif"
    cut.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    assert servers.first.nightmail("directory", "add", stdin=CAROL.encode()).returncode == 0
    servers.first.stop()
    servers.second.stop()
    refused = servers.first.nightmail("directory", "restore", str(cut))
    assert refused.returncode == os.EX_DATAERR
    assert "no whole backup" in refused.stderr
    assert "What it had is in" in servers.run("restore", str(file))
    servers.first.start()
    done = servers.second.nightmail("directory", "reseed")
    assert done.returncode == 0, done
    servers.second.start()
    until(lambda: names(servers.first) == before, "the master has what it had")
    until(lambda: servers.first.facts("directory", "status")[1]["behind"] == 0, "both have the same")
    until_answered(servers.second, "carol@example.org", 550)
    until_answered(servers.second, "alice@example.org", 250)


def test_a_backup_with_numbers_of_the_future_is_numbered_anew(servers: DirectoryPair, tmp_path: Path) -> None:
    """What a clock leaves behind that was ahead: `status` says so, and restoring a backup is the remedy."""
    file = tmp_path / "backup.ldif"
    servers.run("backup", str(file))
    ahead = re.sub(r"^(entryCSN|contextCSN): 2\d{3}", r"\1: 2999", file.read_text(), flags=re.MULTILINE)
    for server in (servers.first, servers.second):
        server.stop()
    file.write_text(ahead)
    servers.run("restore", str(file))
    servers.first.start()
    assert servers.second.nightmail("directory", "reseed").returncode == 0
    servers.second.start()
    until(lambda: servers.first.facts("directory", "status")[1]["behind"] == 0, "both have the same")
    assert [each["warnings"] for each in servers.first.facts("directory", "status")] == [[], []]
    done = servers.first.nightmail("directory", "add", stdin=CAROL.encode())
    assert (done.returncode, done.stderr) == (0, ""), done
    until_answered(servers.second, "carol@example.org", 250)


def test_that_every_domain_is_gone_is_not_believed(servers: DirectoryPair) -> None:
    until_answered(servers.second, "alice@example.org", 250)
    done = servers.first.nightmail("directory", "delete", *names_of_domains(servers.first))
    assert (done.returncode, done.stderr) == (0, ""), done
    servers.second.wait_for_log("directory refused", "no domain any more")
    assert answer(servers.second, "alice@example.org") == 250
    assert servers.second.nightmail("reload").returncode == 0
    until_answered(servers.second, "alice@example.org", 250)  # whoever may relay may send anywhere
    assert servers.second.facts("status")["directory"]["entries"] == 2


def names_of_domains(server: Switch) -> list[str]:
    return [item["dn"] for item in server.facts("directory", "search", "(nmDomain=*)")]
