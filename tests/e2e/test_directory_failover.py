"""A pair whose directory's master fails over: writes go on at the other server, and none that was acknowledged is lost
(R22).
"""

from __future__ import annotations

import os
import shutil
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


def test_a_master_that_stops_hands_the_role_over_and_returns_as_it_is(servers: DirectoryPair) -> None:
    """Nothing was lost, so that nothing has to begin anew."""
    assert servers.first.stop() == 0
    until(lambda: master(servers.second) == "mx2", "the other one is the master", 10)
    assert add(servers.second, "dave") == os.EX_OK
    servers.first.start()
    until_in_sync(servers.second)
    until_answered(servers.first, "dave@example.org", 250)
    assert not servers.first.logged("begins anew")
    until(
        lambda: all(each["behind"] == 0 for each in servers.first.facts("directory", "status")),
        "it has no more, either",
    )


def test_the_role_can_be_had_by_another_server(servers: DirectoryPair) -> None:
    done = servers.second.nightmail("directory", "promote")
    assert (done.returncode, done.stdout) == (0, "Writes to the directory are taken on mx2 now.\n"), done
    assert master(servers.second) == "mx2"
    until_in_sync(servers.second)
    again = servers.second.nightmail("directory", "promote")
    assert (again.returncode, again.stdout) == (0, done.stdout), "it does so already"
    assert add(servers.first, "dave") == os.EX_OK, "whichever server is asked, the master is written to"
    assert not servers.first.logged("begins anew")
    assert [each["role"] for each in servers.first.facts("directory", "status")] == ["shadow", "master"]


def test_with_the_shadow_dead_writes_go_on_once_that_is_on_record(servers: DirectoryPair) -> None:
    """R23. Who was not there then may not take the role, whatever happens to the master: it lacks something."""
    servers.second.kill()
    until(lambda: add(servers.first, "dave") == os.EX_OK, "writes go on")
    assert directory(servers.first).in_sync == ("mx1",)
    servers.first.kill()
    servers.second.start()
    refused = servers.second.nightmail("directory", "promote")
    assert refused.returncode == os.EX_CONFIG
    assert "mx2 is not in sync with the master, mx1" in refused.stderr
    assert add(servers.second, "erin") == os.EX_TEMPFAIL
    until_answered(servers.second, "alice@example.org", 250)
    assert answer(servers.second, "dave@example.org") == 451, "it may be at the master"
    servers.first.start()
    until_in_sync(servers.first)
    assert master(servers.first) == "mx1"
    until_answered(servers.second, "dave@example.org", 250)
    until_answered(servers.second, "nobody@example.org", 550)
    servers.first.kill()
    until(lambda: directory(servers.second).role == "master", "the role moves")
    assert answer(servers.second, "somebody@example.org") == 550, "it has all that there is, and was seen to"


def test_an_operator_can_make_do_without_what_the_master_had(servers: DirectoryPair) -> None:
    servers.second.kill()
    until(lambda: add(servers.first, "dave") == os.EX_OK, "writes go on")
    servers.first.kill()
    servers.second.start()
    until(lambda: servers.second.nightmail("directory", "promote", "--force").returncode == 0, "it is the master", 30)
    assert add(servers.second, "erin") == os.EX_OK
    until_answered(servers.second, "dave@example.org", 550)
    servers.first.start()
    until_in_sync(servers.second)
    until_answered(servers.first, "erin@example.org", 250)
    assert answer(servers.first, "dave@example.org") == 550, "what it alone had is set aside, and does not come back"
    [aside] = (servers.first.directory / "data").glob("entries.*")
    assert (aside / "data.mdb").exists()


def test_an_old_master_keeps_what_it_has_and_says_nothing_while_its_successor_is_away(servers: DirectoryPair) -> None:
    """Who was added since is not in what it has: it would refuse them for good."""
    old, successor = servers.first, servers.second
    old.kill()
    until(lambda: add(successor, "dave") == os.EX_OK, "writes go on")
    successor.kill()
    old.start()
    until(lambda: "this replica has to begin with what mx2 has" in directory(old).fault, "it is said what is missing")
    assert answer(old, "dave@example.org") == answer(old, "alice@example.org") == 451
    data = old.directory / "data"
    assert (data / "entries" / "data.mdb").exists()
    assert not [*data.glob("entries.*")], "nothing is set aside before there is something in its place"
    done = old.nightmail("directory", "promote", "--force", timeout_s=60)
    assert done.returncode == 0, done
    until_answered(old, "alice@example.org", 250)
    assert add(old, "erin") == os.EX_OK
    until_answered(old, "dave@example.org", 550)  # an operator said that this is lost


def test_what_a_backup_has_counts_on_all_servers_once_it_was_restored(servers: DirectoryPair, tmp_path: Path) -> None:
    file = tmp_path / "backup.ldif"
    servers.run("backup", str(file))
    assert add(servers.first, "carol") == os.EX_OK
    running = servers.second.nightmail("directory", "restore", str(file))
    assert (running.returncode, "the server runs" in running.stderr) == (os.EX_CONFIG, True), running
    servers.second.stop()
    other = servers.second.nightmail("directory", "restore", str(file))
    assert (other.returncode, "mx1 is the directory's master" in other.stderr) == (os.EX_CONFIG, True), other
    servers.first.stop()
    done = servers.second.nightmail("directory", "restore", str(file))
    assert done.returncode == 0, done
    servers.first.start()
    servers.second.start()
    until_in_sync(servers.second)
    assert master(servers.first) == "mx2"
    for server in (servers.first, servers.second):
        until_answered(server, "carol@example.org", 550)
        assert answer(server, "alice@example.org") == 250


def test_a_second_directory_is_not_begun_beside_the_first(servers: DirectoryPair) -> None:
    servers.first.stop()
    for file in (servers.first.directory / "data" / "entries").iterdir():
        file.unlink()
    done = servers.first.nightmail("directory", "init")
    assert (done.returncode, "the directory has a master, mx2" in done.stderr) == (os.EX_CONFIG, True), done
    servers.first.start()
    until_in_sync(servers.second)
    until_answered(servers.first, "alice@example.org", 250)


def test_a_directory_that_was_begun_after_the_store_was_lost_takes_nobodys_place(servers: DirectoryPair) -> None:
    servers.first.stop()
    servers.second.stop()
    for lost in (servers.first.store / "directory", servers.first.directory / "data" / "entries"):
        shutil.rmtree(lost)
    servers.second.start()
    done = servers.first.nightmail("directory", "init")
    assert done.returncode == 0, done
    assert "as is usual on a first setup: " in done.stderr
    assert "start that one, then `nightmail directory promote --force` there" in done.stderr
    servers.first.start()
    until(lambda: "the store was lost, or is another one" in directory(servers.second).fault, "the old one is kept")
    servers.first.stop()
    done = servers.second.nightmail("directory", "promote", "--force")
    assert done.returncode == 0, done
    servers.first.start()
    until_in_sync(servers.second)
    for server in (servers.first, servers.second):
        until_answered(server, "alice@example.org", 250)


def change_topology(servers: DirectoryPair, before: str, now: str) -> None:
    for server in (servers.second, servers.first):
        server.stop()
        server.config_file.write_text(server.config_file.read_text().replace(f'"{before}"', f'"{now}"'))
    for server in (servers.first, servers.second):
        server.start()


def test_a_directory_with_one_master_for_good_can_begin_to_fail_over_and_go_back(tmp_path: Path) -> None:
    made = DirectoryPair(tmp_path)
    made.run("init")
    with made.first, made.second:
        made.fill()
        until_answered(made.second, "alice@example.org", 250)
        change_topology(made, "single-master", "failover")
        until_in_sync(made.first)
        assert master(made.first) == "mx1"
        assert add(made.second, "dave") == os.EX_OK
        for server in (made.first, made.second):
            until_answered(server, "dave@example.org", 250)
            assert answer(server, "alice@example.org") == 250
        change_topology(made, "failover", "single-master")
        until(lambda: add(made.first, "erin") == os.EX_OK, "writes are taken by the one master")
        change_topology(made, "single-master", "failover")
        until(lambda: "its entries are of void" in directory(made.first).fault, "it is not in step with the role's log")
        assert made.first.nightmail("directory", "promote", "--force").returncode == os.EX_OK
        until_in_sync(made.first)
        for server in (made.first, made.second):
            until_answered(server, "erin@example.org", 250)
