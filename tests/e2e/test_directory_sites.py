"""Two sites with a pair each, one directory of two parts: each writes its own and reads both (R26)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.directories import answer, until_answered
from tests.e2e.site_pairs import SUFFIX, SitePairs
from tests.e2e.switch import Switch
from tests.e2e.waiting import until

BOB = """\
dn: uid=bob,ou=people,nmSite={site},{suffix}
objectClass: inetOrgPerson
objectClass: inetLocalMailRecipient
uid: bob
cn: Bob
sn: B
mailLocalAddress: bob@{site}.example
"""


@pytest.fixture
def pairs(tmp_path: Path) -> Iterator[SitePairs]:
    """Set up as the documentation says, one site with tables and one that is filled while it runs."""
    made = SitePairs(tmp_path)
    made.run("mx1", "init", "--tables", made.tables("main"))
    made.run("mx3", "init")
    with made.running():
        made.run("mx3", "import", made.tables("dr"))
        for server in made.servers.values():
            for site in ("main", "dr"):
                until_answered(server, f"alice@{site}.example", 250)
        yield made


def add_bob(server: Switch, site: str) -> tuple[int, str]:
    """The exit code and the words of a command that adds bob to a site's part."""
    done = server.nightmail("directory", "add", stdin=BOB.format(site=site, suffix=SUFFIX).encode())
    return done.returncode, done.stderr


def standings(server: Switch) -> dict[str, tuple[str, int | None]]:
    """Of each replica that answers, its role and how many entries differ from its masters'."""
    return {each["server"]: (each["role"], each["behind"]) for each in server.facts("directory", "status")
            if each["state"] == "ok"}  # fmt: skip


def test_each_site_writes_its_part_from_any_server_and_all_have_it(pairs: SitePairs) -> None:
    first, _, _, last = pairs.servers.values()
    assert add_bob(first, "dr") == (0, "")
    assert add_bob(last, "main") == (0, "")
    for server in pairs.servers.values():
        for site in ("main", "dr"):
            until_answered(server, f"bob@{site}.example", 250)
            until_answered(server, f"carol@{site}.example", 550)
    everything = {"mx1": ("master of main", 0), "mx2": ("shadow", 0), "mx3": ("master of dr", 0), "mx4": ("shadow", 0)}
    until(lambda: standings(first) == everything, "all have the same")
    picture = last.facts("status")["directory"]
    assert [(part["site"], part["master"]) for part in picture["parts"]] == [("dr", "mx3"), ("main", "mx1")]


def test_with_a_sites_master_dead_its_writes_fail_at_once_and_everything_else_goes_on(pairs: SitePairs) -> None:
    first, *others = pairs.servers.values()
    first.kill()
    began = time.monotonic()
    code, words = add_bob(others[0], "main")
    assert code == os.EX_TEMPFAIL, words
    assert "mx1" in words
    assert time.monotonic() - began < 5
    assert add_bob(others[0], "dr")[0] == 0
    for server in others:
        until_answered(server, "bob@dr.example", 250)
        until_answered(server, "alice@main.example", 250)
    first.start()
    until_answered(first, "bob@dr.example", 250)
    assert add_bob(others[0], "main") == (0, "")


def test_a_site_that_is_lost_has_its_part_written_elsewhere_and_its_servers_begin_anew(pairs: SitePairs) -> None:
    lost, left = [*pairs.servers.values()][:2], [*pairs.servers.values()][2:]
    for server in lost:
        server.kill()
    for server in left:
        until_answered(server, "alice@main.example", 250)
        pairs.configure(server, main="mx3", dr="mx3")
        server.stop()
        server.start()
    assert add_bob(left[1], "main")[0] == 0
    for server in lost:
        pairs.configure(server, main="mx3", dr="mx3")
        server.start()
        until_answered(server, "bob@main.example", 250)
    everything = {"mx1": ("shadow", 0), "mx2": ("shadow", 0), "mx3": ("master of dr and main", 0), "mx4": ("shadow", 0)}
    until(lambda: standings(lost[0]) == everything, "all have the same")


def test_of_two_masters_of_one_part_neither_takes_writes_and_nobody_is_refused_until_all_files_say_the_same(
    pairs: SitePairs,
) -> None:
    lost, [taker, other] = [*pairs.servers.values()][:2], [*pairs.servers.values()][2:]
    for server in lost:
        server.kill()
    for server in (taker, other):
        pairs.configure(server, main="mx3", dr="mx3")
        server.stop()
        server.start()
    assert add_bob(other, "main")[0] == 0
    returned, _ = lost
    returned.spawn()  # with its old file
    answers = set[int]()

    def has_answered() -> bool:
        if returned.is_ready():
            answers.add(answer(returned, "bob@main.example"))
        return bool(answers)

    until(has_answered, "it takes mail")
    for server in (returned, taker, other):
        until_answered(server, "carol@main.example", 451)
        assert server.wait_for_log("directory masters contradict each other", "level=error")
        until_answered(server, "alice@main.example", 250)
        code, words = add_bob(server, "main")
        assert code == os.EX_TEMPFAIL, words
        assert "mx1" in words
        assert "mx3" in words
    assert answers == {451}
    until_answered(taker, "bob@main.example", 250)
    until_answered(other, "bob@main.example", 250)
    for words in ("status", "check", "directory status", "directory check"):
        done = taker.nightmail(*words.split())
        assert "mx1 as the master of the site main" in " ".join((done.stdout + done.stderr).split()), words
    checked = taker.nightmail("check")
    assert checked.returncode == os.EX_TEMPFAIL
    assert "not all servers' files name the same masters" in checked.stderr
    assert "secret" not in checked.stderr
    pairs.configure(returned, main="mx3", dr="mx3")
    returned.stop()
    returned.start()
    for server in (returned, taker, other):
        until_answered(server, "carol@main.example", 550)
        until_answered(server, "bob@main.example", 250)
    assert add_bob(returned, "main")[0] == 0


def test_a_server_that_never_saw_a_part_says_so_and_takes_no_mail(tmp_path: Path) -> None:
    made = SitePairs(tmp_path)
    made.run("mx1", "init", "--tables", made.tables("main"))
    first = made.servers["mx1"]
    try:
        first.spawn()
        until(lambda: "nmSite=dr" in first.http("/ready")[1], "it says what it lacks")
        code, words = first.http("/ready")
        assert code == 503
        assert "nightmail directory init" in words
        assert first.nightmail("status").returncode == 0
    finally:
        first.kill()
