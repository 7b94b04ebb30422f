"""Commands on a directory of two sites: each entry goes to the master of its part, and everything is seen (R26)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.cli.site_rig import SOUND_DR, SOUND_MAIN, SiteRig, dr, in_no_part, main, site_rig
from tests.directory.sites import DR, MAIN
from tests.directory.slapd_server import SUFFIX

BOB, DAVE = main("mailboxes", "bob@main.org"), dr("mailboxes", "dave@dr.org")


@pytest.fixture
def rig(tmp_path: Path, run: Run) -> Iterator[SiteRig]:
    with site_rig(tmp_path, run) as made:
        yield made


def test_each_entry_is_written_where_its_part_is_and_seen_everywhere_from_any_server(rig: SiteRig) -> None:
    added = rig.directory("add", rig.file(BOB, DAVE), on="mx4")
    assert (added.exit_code, added.out, added.err) == (0, "Entries added: 2\n", "")
    for number in range(4):
        assert {BOB.dn, DAVE.dn} <= rig.names(on=number)
    assert rig.directory("add", rig.file(BOB, DAVE)).out == "Entries added: 0, there already: 2\n"
    lines = "changetype: modify\nadd: mail\nmail: {0}@elsewhere.example\n-\n\n"
    changes = "".join(f"dn: {item.dn}\n{lines.format(name)}" for name, item in (("b", BOB), ("d", DAVE)))
    assert rig.directory("modify", rig.text(changes), on="mx2").out == "Entries changed: 2\n"
    assert rig.names("(mail=*@elsewhere.example)", on=3) == {BOB.dn, DAVE.dn}
    assert rig.directory("delete", BOB.dn, DAVE.dn, on="mx3").out == "Entries deleted: 2\n"
    assert not {BOB.dn, DAVE.dn} & rig.names(on=1)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        (in_no_part("mailboxes", "eve@main.org").dn, "it is in no site's part of the directory; entries are below "
         f"nmSite=SITE,{SUFFIX}, SITE being dr or main"),
        (BOB.dn.replace("nmSite=main", "nmSite=paris"), "it is in no site's part of the directory"),
        (BOB.dn.replace("dc=org", "dc=net"), f"it is not below {SUFFIX}"),
    ],
)  # fmt: skip
def test_what_is_in_no_part_is_refused_before_anything_is_written(rig: SiteRig, name: str, wrong: str) -> None:
    stray = BOB._replace(dn=name)
    refused = rig.directory("add", rig.file(DAVE, stray), "--force")
    assert refused.exit_code == os.EX_DATAERR
    assert f"{name}: {wrong}" in refused.err
    assert rig.directory("delete", name).exit_code == os.EX_DATAERR
    assert DAVE.dn not in rig.names(on=2)


def test_a_sites_master_that_is_away_is_named_and_other_sites_are_written_to(rig: SiteRig) -> None:
    rig.sites.mx3.kill()
    refused = rig.directory("add", rig.file(BOB, DAVE))
    assert refused.exit_code == os.EX_TEMPFAIL
    assert "the master of the site dr is on mx3, and can't be written to" in refused.err
    assert "repeat this" in refused.err
    assert BOB.dn not in rig.names()
    added = rig.directory("add", rig.file(BOB))
    assert (added.exit_code, added.out) == (0, "Entries added: 1\n")
    assert "written on mx1, and not yet seen on mx3: " in added.err
    assert added.err.count("not yet seen") == 1
    assert BOB.dn in rig.names(on=3)


def test_where_a_later_part_fails_it_is_said_what_was_written(rig: SiteRig) -> None:
    bad = dr("mailboxes", "eve@dr.org")
    del bad.attributes["sn"]  # type: ignore[attr-defined]  # a dictionary, here
    failed = rig.directory("add", rig.file(BOB, bad))
    assert failed.exit_code == os.EX_DATAERR
    assert f"1 of 2 entries were written; not written: {bad.dn}" in failed.err
    assert BOB.dn in rig.names()


def test_what_is_written_is_judged_by_what_all_sites_have(rig: SiteRig) -> None:
    again = rig.directory("add", rig.file(dr("mailboxes", "alice@main.org")))
    assert again.exit_code == os.EX_DATAERR
    assert f"alice@main.org is an address of {SOUND_MAIN[2].dn} as well" in again.err
    twice = rig.directory("add", rig.file(dr("domains", "main.org", "local")))
    assert twice.exit_code == os.EX_DATAERR
    assert f"main.org stands twice, first as {SOUND_MAIN[0].dn}" in twice.err
    new = [main("domains", "new.org", "local"), main("routes", "new.org", "discard"), dr("mailboxes", "eve@new.org")]
    assert rig.directory("add", rig.file(*new)).out == "Entries added: 3\n"
    needed = rig.directory("delete", new[1].dn)
    assert needed.exit_code == os.EX_DATAERR
    assert f"{new[0].dn}: new.org is local and has no route" in needed.err


def test_what_two_sites_say_is_named_by_a_check(rig: SiteRig) -> None:
    [count] = {each["entries"] for each in rig.facts("status")}
    assert rig.directory("check").out == f"✓ {count} entries, nothing is wrong\n"
    again, twice = dr("mailboxes", "alice@main.org"), dr("domains", "main.org", "local")
    rig.directory("add", rig.file(again, twice), "--force")
    told = rig.directory("check", on="mx2")
    assert told.exit_code == os.EX_CONFIG
    assert f"{again.dn}: alice@main.org is an address of {SOUND_MAIN[2].dn} as well" in told.out
    assert f"{SOUND_MAIN[2].dn}: alice@main.org is an address of {again.dn} as well" in told.out
    assert f"{SOUND_MAIN[0].dn}: main.org stands twice, first as {twice.dn}" in told.out


def test_the_role_does_not_move(rig: SiteRig) -> None:
    refused = rig.directory("promote", on="mx2")
    assert refused.exit_code == os.EX_CONFIG
    assert "this role does not move; for a site whose master is lost for good, name another server" in refused.err


TABLES = {
    "domains": "dr.org local\nmain.org local\nnew.org relay\n",
    "routes": "dr.org discard\nmain.org discard\nnew.org mx\n",
    "mailboxes": "alice@main.org\nbob@main.org\ndora@dr.org\n",
}


def test_tables_go_into_the_part_of_the_own_site_and_what_others_say_counts_as_there(rig: SiteRig) -> None:
    tables = rig.tables(**TABLES)
    assert "Entries to be added: 3, changed: 0, deleted: 0" in rig.directory("import", tables, "--dry-run").out
    done = rig.directory("import", tables, on="mx2")
    assert (done.exit_code, done.out) == (0, "Entries added: 3, changed: 0, deleted: 0\n")
    assert done.err.startswith("nightmail: said by 3 entries of other sites already, and not written: ")
    assert all(item.dn in done.err for item in SOUND_DR)
    assert {BOB.dn, main("domains", "new.org").dn, main("routes", "new.org").dn} <= rig.names(on=3)
    exported = str(rig.place / "exported")
    rig.directory("export", exported, on="mx4")
    again = rig.directory("import", exported, "--delete", on="mx3")
    assert (again.exit_code, again.out) == (0, "Entries added: 0, changed: 0, deleted: 0\n")
    for table in TABLES:
        first, second = (Path(place, table).read_text().split() for place in (tables, exported))
        assert first == second


def test_tables_go_into_the_part_of_another_site_that_is_named(rig: SiteRig) -> None:
    done = rig.directory("import", rig.tables(**TABLES), "--site", "dr")
    assert done.out == "Entries added: 3, changed: 0, deleted: 0\n"
    assert dr("mailboxes", "bob@main.org").dn in rig.names()
    wrong = rig.directory("import", rig.tables(**TABLES), "--site", "paris")
    assert wrong.exit_code == os.EX_DATAERR
    assert "--site paris: no such site has a part; those are dr and main" in wrong.err


def test_an_import_takes_away_nothing_of_another_site_and_contradicts_none(rig: SiteRig) -> None:
    done = rig.directory("import", rig.tables(domains="", routes="* mx\n"), "--delete")
    assert done.out == "Entries added: 1, changed: 0, deleted: 3\n"
    assert {item.dn for item in SOUND_DR} <= rig.names()
    refused = rig.directory("import", rig.tables(domains="dr.org relay\n", routes="* mx\n"))
    assert refused.exit_code == os.EX_DATAERR
    assert f"{SOUND_DR[0].dn}: it says 'local' of dr.org in domains, where 'relay' is wanted" in refused.err


def test_what_sites_say_differently_is_named_by_an_export(rig: SiteRig) -> None:
    other = dr("routes", "main.org", "mx")
    rig.directory("add", rig.file(other), "--force")
    refused = rig.directory("export", str(rig.place / "exported"))
    assert refused.exit_code == os.EX_CONFIG
    assert other.dn in refused.err
    assert SOUND_MAIN[1].dn in refused.err


def test_each_replica_is_seen_with_its_site_and_what_it_lacks_of_each_part(rig: SiteRig) -> None:
    seen = rig.facts("status")
    assert [(each["server"], each["site"], each["role"]) for each in seen] == [
        ("mx1", "main", "master of main"), ("mx2", "main", "shadow"),
        ("mx3", "dr", "master of dr"), ("mx4", "dr", "shadow"),
    ]  # fmt: skip
    assert {each["behind"] for each in seen} == {0}
    assert {len(rig.sites.mx1.names(f"(entryDN:dnSubtreeMatch:={part.base})")) for part in (MAIN, DR)} == {10}
    parts = {(part["site"], part["master"], part["entries"]) for each in seen for part in each["parts"]}
    assert parts == {("dr", "mx3", 10), ("main", "mx1", 10)}
    assert {each["entries"] for each in seen} == {20}
    shown = rig.directory("status").out.splitlines()
    assert shown[0].split()[:3] == ["REPLICA", "SITE", "ROLE"]


def test_what_can_be_told_of_one_part_is_told_while_the_master_of_the_other_is_away(rig: SiteRig) -> None:
    rig.let_mx4_miss(BOB)
    rig.sites.mx3.kill()
    shown = rig.directory("status")
    assert shown.exit_code == 0
    rows = [[cell.strip() for cell in row.split("  ") if cell] for row in shown.out.splitlines()[1:5]]
    assert [row[3] for row in rows] == ["ok", "ok", "unreachable", "ok"]
    assert [row[5] for row in rows] == ["–", "0 + ?", "–", "1 + ?"]
    assert "what replicas lack of the part of dr can't be told while its master, mx3, does not answer" in shown.out
    assert f"mx3: {rig.sites.mx3.uri}: " in shown.out


def test_where_the_masters_were_changed_its_own_replica_has_only_to_be_restarted(rig: SiteRig) -> None:
    for each in rig.sites.all[1:]:
        each.kill()
    rig.sites.obey(main="mx2", dr="mx3")
    done = rig.nightmail("check")
    assert done.exit_code == 0
    assert "! this server's replica goes by the file as it was, which names mx1 as the master" in done.out
    assert "ours names mx2: restart this server" in done.out
    assert all(f"! {each.name}: {each.uri}: " in done.out for each in rig.sites.all[1:])
    assert "restart this server" in rig.directory("check").err
    other = rig.nightmail("check", on="mx2")
    assert other.exit_code == os.EX_TEMPFAIL
    assert "! mx1: its server's file names mx1 as the master of the site main, ours names mx2" in other.out


def test_where_no_replica_answers_the_table_is_printed_and_the_command_fails(rig: SiteRig) -> None:
    for each in rig.sites.all:
        each.kill()
    shown = rig.directory("status")
    assert shown.exit_code == os.EX_UNAVAILABLE
    assert shown.out.count("unreachable") == 4
    assert "no replica of the directory answers" in shown.err
