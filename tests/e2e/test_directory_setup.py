"""A new directory begins with what tables say, and its shadow with what the master has, each as a whole."""

from __future__ import annotations

import os
from pathlib import Path

from tests.e2e.directories import TABLES, DirectoryPair, until_answered
from tests.e2e.waiting import until


def written_tables(made: DirectoryPair) -> str:
    made.tables.mkdir()
    for name, text in TABLES.items():
        (made.tables / name).write_text(text.replace("{mail}", str(made.first.mail)))
    return str(made.tables)


def are_the_same(made: DirectoryPair) -> bool:
    master, shadow = made.first.facts("directory", "status")
    return bool(master["entries"]) and shadow["behind"] == 0


def test_a_new_directory_begins_with_what_tables_say_and_its_shadow_with_what_the_master_has(tmp_path: Path) -> None:
    made = DirectoryPair(tmp_path)
    assert "It has the 5 lines of" in made.run("init", "--tables", written_tables(made))
    with made.first, made.second:
        made.second.wait_for_log("directory replica filled", "source=ldap://127.0.0.1")
        for server in (made.first, made.second):
            until_answered(server, "alice@example.org", 250)
        until(lambda: are_the_same(made), "both replicas have the same")
        made.fill(mailboxes="alice@example.org\ncarol@example.org\n")
        until_answered(made.second, "carol@example.org", 250)
        until(lambda: are_the_same(made), "the shadow follows the master")
        assert "Entries added: 0, changed: 0, deleted: 0" in made.run("import", str(made.tables), "--delete")


def test_a_shadow_that_starts_before_its_master_fills_once_that_answers(tmp_path: Path) -> None:
    made = DirectoryPair(tmp_path)
    made.run("init", "--tables", written_tables(made))
    made.second.spawn()
    try:
        made.second.wait_for_log("directory replica not filled yet")
        nowhere = "Followed nowhere, nor was it ever: no mail is taken"
        until(lambda: nowhere in made.second.nightmail("status").stdout, "it says that it never had anything")
        with made.first:
            until(made.second.is_ready, "the shadow's server takes mail")
            assert made.second.facts("status")["directory"]["is_known"]
            until_answered(made.second, "alice@example.org", 250)
            until(lambda: are_the_same(made), "both replicas have the same")
    finally:
        made.second.stop()


def test_tables_that_are_wrong_begin_no_directory(tmp_path: Path) -> None:
    made = DirectoryPair(tmp_path)
    written_tables(made)
    (made.tables / "mailboxes").write_text("alice@exmaple.org\n")
    refused = made.first.nightmail("directory", "init", "--tables", str(made.tables))
    assert refused.returncode == os.EX_DATAERR
    assert "exmaple.org is not in domains" in refused.stderr
    missing = made.first.nightmail("directory", "init", "--tables", str(tmp_path / "nosuch"))
    assert missing.returncode == os.EX_DATAERR
    assert "there is no such directory; name the one that has the files domains, routes and so on" in missing.stderr
    assert "is set up in" in made.run("init")


def test_a_directory_that_is_there_already_is_left_as_it_is(tmp_path: Path) -> None:
    made = DirectoryPair(tmp_path)
    tables = written_tables(made)
    made.run("init")
    entries = made.first.directory / "data" / "entries" / "data.mdb"
    before = entries.stat()
    assert made.run("init").endswith("already; nothing needs to be done.\n")
    refused = made.first.nightmail("directory", "init", "--tables", tables)
    assert refused.returncode == os.EX_CONFIG
    assert f"it was not given what {tables} has" in refused.stderr
    assert (entries.stat().st_ino, entries.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_was_there_under_another_suffix_is_set_aside_and_it_is_said_where(tmp_path: Path) -> None:
    made = DirectoryPair(tmp_path)
    made.run("init")
    config = made.first.config_file
    config.write_text(config.read_text().replace("dc=example,dc=org", "dc=other,dc=org"))
    said = made.run("init")
    [aside] = (made.first.directory / "data").glob("entries.*")
    assert f"What it had is in {aside} now" in said
    assert "dc=other,dc=org is set up in" in said


def test_a_server_with_another_secret_says_so_and_serves_once_it_has_the_right_one(tmp_path: Path) -> None:
    made = DirectoryPair(tmp_path)
    made.run("init", "--tables", written_tables(made))
    right, wrong = made.first.directory.parent / "directory.key", tmp_path / "another.key"
    wrong.write_text("the secret of another cluster")
    wrong.chmod(0o600)
    config, written = made.second.config_file, made.second.config_file.read_text()
    config.write_text(written.replace(str(right), str(wrong)))
    said = f"its secret differs from the one in {wrong} here"
    with made.first:
        made.second.spawn()
        try:
            made.second.wait_for_log("directory replica not filled yet", said)
            made.second.wait_for_log("directory out of reach", said)
            assert said in made.second.http("/ready")[1]
            done = made.second.nightmail("check")
            assert (done.returncode, said in done.stdout) == (os.EX_CONFIG, True)
            until(lambda: made.first.nightmail("check").returncode == os.EX_CONFIG, "mx1 sees it, too")
            assert f"its secret differs from the one in {right} here" in made.first.nightmail("check").stdout
        finally:
            made.second.stop()
        config.write_text(written)
        with made.second:
            until_answered(made.second, "alice@example.org", 250)
            assert made.first.nightmail("check").returncode == 0
