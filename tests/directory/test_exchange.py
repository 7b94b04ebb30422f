"""Tables into entries and back: the same normal text, and no more changes than are needed (R16)."""

from __future__ import annotations

from pathlib import Path

import pytest

from nightmail.directory.exchange import Changes, containers_for, normal_lines, plan_changes, text_of
from nightmail.directory.selection import DirectoryTables
from nightmail.directory.tree import Item, item_of, unit
from nightmail.errors import ConfigInvalid
from nightmail.routing.source import NAMES
from nightmail.routing.tables import TextTables

SUFFIX = "dc=example,dc=org"

NO_CHANGES = Changes([], [], [], [], 0, [])

TABLES = {
    "domains": "example.org local\nExample.NET   relay\nexample.com  alias   example.org\n.sub.example.org relay\n",
    "routes": "example.org maildir:/srv/mail/{local_part}\n*  mx\ncarol@example.org  lmtp:unix:/run/lmtp\n",
    "aliases": "postmaster  alice@example.org\nTeam@example.org bob@example.org,\n   alice@example.org\n",
    "mailboxes": 'alice@example.org\nBOB@example.org\n"a b"@example.org\n用户@example.org\n',
    "clients": "127.0.0.1 relay\n2001:DB8::/32  deny\n",
    "policies": "retry_first_s 60\ntotal_connections  040\nexpire_s 86400.0\n",
}


def lines_in(directory: Path, tables: dict[str, str]) -> dict[tuple[str, str], str]:
    directory.mkdir(exist_ok=True)
    for name in NAMES:
        (directory / name).write_text(tables.get(name, ""))
    return normal_lines(TextTables(str(directory)))


def entries_of(lines: dict[tuple[str, str], str]) -> list[Item]:
    return plan_changes(lines, [], SUFFIX, delete=False).added


def test_tables_to_entries_and_back_are_the_same_normal_text(tmp_path: Path) -> None:
    lines = lines_in(tmp_path / "in", TABLES)
    back = normal_lines(DirectoryTables(entries_of(lines), SUFFIX))
    assert back == lines
    normal = {name: text_of(name, back) for name in NAMES}
    assert lines_in(tmp_path / "out", normal) == lines
    assert {name: text_of(name, lines_in(tmp_path / "out", normal)) for name in NAMES} == normal


def test_the_normal_text_is_sorted_folded_and_in_columns(tmp_path: Path) -> None:
    lines = lines_in(tmp_path, TABLES)
    assert text_of("domains", lines) == (
        ".sub.example.org  relay\nexample.com       alias example.org\nexample.net       relay\n"
        "example.org       local\n"
    )
    assert text_of("aliases", lines) == (
        "postmaster        alice@example.org\nteam@example.org  alice@example.org, bob@example.org\n"
    )
    assert text_of("mailboxes", lines) == '"a b"@example.org\nalice@example.org\nbob@example.org\n用户@example.org\n'


def test_a_directory_that_says_it_already_needs_no_change(tmp_path: Path) -> None:
    lines = lines_in(tmp_path, TABLES)
    assert plan_changes(lines, entries_of(lines), SUFFIX, delete=True) == NO_CHANGES


def test_an_entry_with_another_value_is_written_anew_under_its_own_name() -> None:
    old = item_of("domains", "example.org", "relay", SUFFIX)._replace(dn=f"nmDomain=Example.org,ou=domains,{SUFFIX}")
    changes = plan_changes({("domains", "example.org"): "local"}, [old], SUFFIX, delete=False)
    assert changes.replaced == [item_of("domains", "example.org", "local", SUFFIX)._replace(dn=old.dn)]
    assert not changes.added


def test_what_only_the_directory_says_is_counted_or_deleted() -> None:
    other = item_of("domains", "example.net", "relay", SUFFIX)
    wanted = {("domains", "example.org"): "local"}
    assert plan_changes(wanted, [other], SUFFIX, delete=False).foreign == 1
    assert plan_changes(wanted, [other], SUFFIX, delete=True).deleted == [other.dn]


PATIENCE = Item(
    f"cn=patience,ou=policies,{SUFFIX}",
    {"objectclass": ("nmPolicy",), "cn": ("patience",), "nmsetting": ("retry_first_s=60",)},
)


def test_an_entry_with_a_name_of_its_own_keeps_it() -> None:
    [replaced] = plan_changes({("policies", "retry_first_s"): "30"}, [PATIENCE], SUFFIX, delete=False).replaced
    assert (replaced.dn, replaced.attributes["cn"]) == (PATIENCE.dn, ("patience",))
    assert replaced.attributes["nmsetting"] == ("retry_first_s=30",)


def test_containers_that_are_missing_are_those_of_new_entries_alone() -> None:
    new = [item_of("policies", "expire_s", "60", SUFFIX), item_of("domains", "x.org", "relay", SUFFIX)]
    assert containers_for(new, [unit("ou=domains", SUFFIX)], SUFFIX) == [unit("ou=policies", SUFFIX)]
    assert containers_for([], [], SUFFIX) == []


def person(*addresses: str) -> Item:
    return Item(
        f"uid=alice,ou=people,{SUFFIX}",
        {"objectclass": ("inetOrgPerson", "inetLocalMailRecipient"), "maillocaladdress": addresses},
    )


def test_a_person_with_several_addresses_says_several_lines() -> None:
    wanted = {("mailboxes", "alice@example.org"): "", ("mailboxes", "a@example.org"): ""}
    assert plan_changes(wanted, [person("alice@example.org", "a@example.org")], SUFFIX, delete=True) == NO_CHANGES


def test_of_an_entry_that_says_more_nothing_is_taken_away() -> None:
    wanted = {("mailboxes", "alice@example.org"): ""}
    with pytest.raises(ConfigInvalid, match=r"says a@example\.org in mailboxes, and more"):
        plan_changes(wanted, [person("alice@example.org", "a@example.org")], SUFFIX, delete=True)
    assert plan_changes(wanted, [person("alice@example.org", "a@example.org")], SUFFIX, delete=False).foreign == 1


def test_what_an_entry_says_no_more_is_taken_away() -> None:
    verified = item_of("domains", "x.org", "relay verify", SUFFIX)
    [replaced] = plan_changes({("domains", "x.org"): "relay"}, [verified], SUFFIX, delete=False).replaced
    assert replaced.attributes["nmverify"] == ()
    alias = item_of("domains", "x.org", "alias y.org", SUFFIX)
    [replaced] = plan_changes({("domains", "x.org"): "local"}, [alias], SUFFIX, delete=False).replaced
    assert (replaced.attributes["nmkind"], replaced.attributes["nmaliasof"]) == (("local",), ())


def test_an_entry_that_has_to_be_of_another_kind_is_made_anew() -> None:
    ascii_only = item_of("aliases", "a@x.org", "b@x.org", SUFFIX)
    changes = plan_changes({("aliases", "a@x.org"): "ü@x.org"}, [ascii_only], SUFFIX, delete=False)
    assert changes.renewed == [(ascii_only.dn, item_of("aliases", "a@x.org", "ü@x.org", SUFFIX))]
    assert not changes.replaced


MAIN, DR = f"nmSite=main,{SUFFIX}", f"nmSite=dr,{SUFFIX}"
ORG = ("domains", "example.org")


def test_what_another_part_says_in_the_same_way_counts_as_there() -> None:
    wanted = {ORG: "local", ("routes", "example.org"): "discard"}
    elsewhere = [item_of(*ORG, "local", DR)]
    changes = plan_changes(wanted, [], MAIN, delete=False, elsewhere=elsewhere)
    assert changes.added == [item_of("routes", "example.org", "discard", MAIN)]
    assert changes._replace(added=[]) == NO_CHANGES._replace(elsewhere=[elsewhere[0].dn])


def test_what_another_part_says_otherwise_is_named() -> None:
    other = item_of(*ORG, "relay", DR)
    with pytest.raises(
        ConfigInvalid, match=r"says 'relay' of example\.org in domains, where 'local' is wanted"
    ) as found:
        plan_changes({ORG: "local"}, [], MAIN, delete=False, elsewhere=[other])
    assert found.value.place == other.dn


def test_only_what_the_own_part_says_alone_is_deleted_or_counted() -> None:
    own, other = item_of("domains", "own.org", "local", MAIN), item_of("domains", "other.org", "local", DR)
    changes = plan_changes({}, [own], MAIN, delete=True, elsewhere=[other])
    assert changes.deleted == [own.dn]
    assert plan_changes({}, [own], MAIN, delete=False, elsewhere=[other]).foreign == 1


def test_lists_of_another_part_have_members_of_this_one() -> None:
    alice = person("alice@example.org")._replace(dn=f"uid=alice,ou=people,{MAIN}")
    team = Item(
        f"cn=team,ou=lists,{DR}",
        {"objectclass": ("nmMailList",), "cn": ("team@example.org",), "member": (alice.dn,)},
    )
    wanted = {("mailboxes", "alice@example.org"): "", ("aliases", "team@example.org"): "alice@example.org"}
    assert plan_changes(wanted, [alice], MAIN, delete=True, elsewhere=[team]) == NO_CHANGES._replace(
        elsewhere=[team.dn]
    )


def test_what_two_entries_say_is_one_line_where_they_agree_and_named_where_they_do_not() -> None:
    main, dr = item_of(*ORG, "local", MAIN), item_of(*ORG, "local", DR)
    assert normal_lines(DirectoryTables([main, dr], SUFFIX)) == {ORG: "local"}
    other = item_of(*ORG, "relay", DR)
    with pytest.raises(ConfigInvalid, match=r"says 'relay' of example\.org in domains, and") as found:
        normal_lines(DirectoryTables([main, other], SUFFIX))
    assert found.value.place == other.dn
    assert main.dn in str(found.value)
