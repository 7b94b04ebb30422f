"""add, modify and delete: judged before anything is written, and the same command once more does no harm."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run
from tests.cli.directory_rig import SOUND, Rig, line, sound_directory
from tests.directory.slapd_server import SUFFIX, Slapd

from nightmail.cli.directory import records_of
from nightmail.cli.directory_sessions import confirm_written
from nightmail.directory.ldif import ldif_of
from nightmail.directory.tree import Item

BOB = line("mailboxes", "bob@example.org")
PEOPLE = [line("mailboxes", f"user{number}@example.org") for number in range(20)]


@pytest.fixture
def rig(tmp_path: Path, run: Run) -> Iterator[Rig]:
    with sound_directory(tmp_path, run) as made:
        yield made


def change(name: str, *lines: str) -> str:
    return "\n".join([f"dn: {name}", "changetype: modify", *lines, "", ""])


def test_what_could_not_come_into_force_is_not_written(rig: Rig) -> None:
    before = rig.names()
    bad = [line("mailboxes", "bob@exmaple.org"), line("domains", "new.org", "local")]
    refused = rig.directory("add", rig.file(BOB, *bad))
    assert refused.exit_code == os.EX_DATAERR
    assert f"{bad[0].dn}: exmaple.org is not in domains" in refused.err
    assert f"{bad[1].dn}: new.org is local and has no route" in refused.err
    assert "nothing was written" in refused.err
    assert rig.names() == before
    written = rig.directory("add", rig.file(BOB, *bad), "--force")
    assert (written.exit_code, written.out, written.err) == (0, "Entries added: 3\n", "")


def test_an_address_that_another_entry_has_is_refused(rig: Rig) -> None:
    again = SOUND[2]._replace(dn=f"uid=other,ou=people,{SUFFIX}")
    again.attributes["uid"] = ("other",)  # type: ignore[index]  # a dictionary, here
    refused = rig.directory("add", rig.file(again))
    assert refused.exit_code == os.EX_DATAERR
    assert "alice@example.org is an address of uid=alice@example.org,ou=people" in refused.err


def test_adding_the_same_once_more_is_no_fault_and_adding_another_of_its_name_is(rig: Rig) -> None:
    file = rig.file(BOB, *PEOPLE[:2])
    assert rig.directory("add", file).out == "Entries added: 3\n"
    again = rig.directory("add", file)
    assert (again.exit_code, again.out) == (0, "Entries added: 0, there already: 3\n")
    other = BOB._replace(attributes={**BOB.attributes, "sn": ("Other",)})
    refused = rig.directory("add", rig.file(PEOPLE[3], other))
    assert refused.exit_code == os.EX_DATAERR
    assert f"{BOB.dn}: it is there already, and says something else" in refused.err
    assert PEOPLE[3].dn not in rig.names()


def test_what_was_written_before_a_failure_is_said_and_the_same_command_does_the_rest(rig: Rig) -> None:
    bad = line("mailboxes", "carol@example.org")
    del bad.attributes["sn"]  # type: ignore[attr-defined]  # a dictionary, here
    failed = rig.directory("add", rig.file(*PEOPLE[:10], bad, *PEOPLE[10:]))
    assert failed.exit_code == os.EX_DATAERR
    assert f"20 of 21 entries were written; not written: {bad.dn}" in failed.err
    assert f"{bad.dn}: Object class violation" in failed.err
    done = rig.directory("add", rig.file(*PEOPLE[:10], line("mailboxes", "carol@example.org"), *PEOPLE[10:]))
    assert (done.exit_code, done.out) == (0, "Entries added: 1, there already: 20\n")


def test_a_slip_in_what_is_added_is_named_with_what_would_be_right(rig: Rig) -> None:
    for name, value, right in (
        (
            "mailLocalAdress",
            "b@example.org",
            "mailLocalAdress: attribute type undefined; did you mean mailLocalAddress?",
        ),
        ("wwwww", "b@example.org", "Undefined attribute type: wwwww: attribute type undefined\n"),
        (
            "mailLocalAddress",
            "bj\u00f6rn@example.org",
            "not ASCII is an nmAddress, of the class nmUnicodeRecipient or ",
        ),
        ("labeledURI", "", "mend the value"),
    ):
        refused = rig.directory("add", rig.file(Item(BOB.dn, {**BOB.attributes, name: (value,)})))
        assert refused.exit_code == os.EX_DATAERR
        assert right in refused.err
    added = rig.directory("add", rig.file(BOB))
    assert (added.exit_code, added.err) == (0, "")
    slip = change(BOB.dn, "add: rfc822MailMembre", "rfc822MailMembre: b@example.org", "-")
    assert "did you mean rfc822MailMember?" in rig.directory("modify", rig.text(slip)).err


def test_an_entry_that_says_that_it_is_to_be_added_is_added_and_other_changes_are_not(rig: Rig) -> None:
    name, rest = ldif_of([BOB]).split("\n", 1)
    assert rig.directory("add", rig.text(f"{name}\nchangetype: add\n{rest}")).out == "Entries added: 1\n"
    refused = rig.directory("add", rig.text(change(BOB.dn, "delete: sn")))
    assert refused.exit_code == os.EX_DATAERR
    assert "`nightmail directory modify` carries them out" in refused.err


def test_who_is_to_type_ldif_is_told(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    controller, terminal = os.openpty()
    os.write(controller, ldif_of([BOB]).encode() + b"\x04")
    with os.fdopen(terminal, closefd=True) as typed:
        monkeypatch.setattr(sys, "stdin", typed)
        entries, _ = records_of("-")
    os.close(controller)
    assert [entry.dn for entry in entries] == [BOB.dn]
    assert "Ctrl-D" in capfd.readouterr().err


def test_a_change_is_judged_by_what_the_entry_will_be(rig: Rig) -> None:
    name = SOUND[2].dn
    refused = rig.directory("modify", rig.text(change(name, "replace: mailLocalAddress", "mailLocalAddress: a@x.org")))
    assert refused.exit_code == os.EX_DATAERR
    assert f"{name}: x.org is not in domains" in refused.err
    route = SOUND[1].dn
    refused = rig.directory("modify", rig.text(change(route, "replace: nmNextHop", "nmNextHop: smpt:host")))
    assert refused.exit_code == os.EX_DATAERR
    assert f"{route}: " in refused.err
    assert "smpt:host" in refused.err
    good = change(name, "add: mailLocalAddress", "mailLocalAddress: a@example.org", "-")
    assert rig.directory("modify", rig.text(good)).out == "Entries changed: 1\n"
    assert rig.directory("modify", rig.text(good)).out == "Entries changed: 0, so already: 1\n"
    missing = rig.directory("modify", rig.text(change(BOB.dn, "delete: mail")))
    assert missing.exit_code == os.EX_DATAERR
    assert f"{BOB.dn}: there is no such entry" in missing.err


def test_a_half_failed_change_is_repeated_whole(rig: Rig) -> None:
    rig.fill([BOB])
    first = change(SOUND[2].dn, "add: mailLocalAddress", "mailLocalAddress: a@example.org", "-")
    bad = change(BOB.dn, "delete: sn", "-")
    failed = rig.directory("modify", rig.text(first + bad))
    assert failed.exit_code == os.EX_DATAERR
    assert f"1 of 2 entries were written; not written: {BOB.dn}" in failed.err
    done = rig.directory("modify", rig.text(first + change(BOB.dn, "replace: sn", "sn: Bob", "-")))
    assert (done.exit_code, done.out) == (0, "Entries changed: 1, so already: 1\n")


def test_what_others_need_is_not_deleted(rig: Rig) -> None:
    domain, route, alice = (item.dn for item in SOUND)
    refused = rig.directory("delete", route)
    assert refused.exit_code == os.EX_DATAERR
    assert f"{domain}: example.org is local and has no route" in refused.err
    assert "add example.org to routes" not in refused.err, "that is what is to be deleted"
    assert "delete also what is named here, in the same command, or change it first" in refused.err
    assert route in rig.names()
    assert rig.directory("delete", route, domain, alice).out == "Entries deleted: 3\n"


def test_who_gets_no_mail_for_want_of_a_class_is_added_and_named(rig: Rig) -> None:
    name = f"uid=dave,ou=people,{SUFFIX}"
    dave = Item(name, {"objectClass": ("inetOrgPerson",), "cn": ("Dave",), "sn": ("D",), "mail": ("d@example.org",)})
    done = rig.directory("add", rig.file(dave))
    remark = f"! {name}: d@example.org is no mailbox: it has no class inetLocalMailRecipient; add objectClass: "
    assert (done.exit_code, done.err) == (0, "")
    assert done.out == f"Entries added: 1\n{remark}inetLocalMailRecipient\n"
    many = [
        Item(f"uid=d{n},ou=people,{SUFFIX}", {**dave.attributes, "uid": (f"d{n}",), "mail": (f"d{n}@example.org",)})
        for n in range(12)
    ]
    said = rig.directory("add", rig.file(*many)).out.splitlines()
    assert [line[:2] for line in said] == ["En"] + ["! "] * 11
    assert said[-1] == "! and 2 more"


def test_who_is_the_last_one_of_a_list_is_not_taken_away(rig: Rig) -> None:
    alice = SOUND[2].dn
    lists = [
        line("aliases", "postmaster@example.org", "alice@lists.example.org"),
        line("aliases", "root@example.org", "postmaster@example.org"),
        Item(f"cn=crew,ou=lists,{SUFFIX}", {"objectClass": ("nmMailList",), "cn": ("crew@example.org",),
                                            "member": (alice,)}),
        Item(f"cn=all,ou=lists,{SUFFIX}", {"objectClass": ("nmMailList",), "cn": ("all@example.org",),
                                           "nmTarget": ("alice@example.org", "bob@example.org")}),
    ]  # fmt: skip
    rig.fill([BOB, line("domains", "lists.example.org", "alias example.org"), *lists])
    moved = change(alice, "replace: mailLocalAddress", "mailLocalAddress: al@example.org")
    for words, named in ((("delete", alice), lists[:3]), (("modify", rig.text(moved)), lists[:2])):
        refused = rig.directory(*words)
        assert (refused.exit_code, refused.out) == (os.EX_DATAERR, "")
        for item in named:
            assert f"{item.dn}: the " in refused.err
        assert refused.err.count("leads to nobody") == len(named)
        assert "--force" in refused.err
    done = rig.directory("delete", alice, *(item.dn for item in lists[:3]))
    assert (done.exit_code, done.err) == (0, "")
    remark = f"! {lists[3].dn}: alice@example.org is neither a mailbox nor an alias; add it, or mend the name\n"
    assert done.out == f"Entries deleted: 4\n{remark}"
    assert rig.directory("delete", BOB.dn, "--force").out == "Entries deleted: 1\n"


def test_deleting_once_more_names_what_is_not_there(rig: Rig) -> None:
    rig.fill([BOB, *PEOPLE[:1]])
    done = rig.directory("delete", BOB.dn, BOB.dn.replace("bob", "bbo"), PEOPLE[0].dn)
    assert (done.exit_code, done.out) == (0, "Entries deleted: 2, not there: 1\n")
    assert "uid=bbo@example.org,ou=people,dc=example,dc=org: there is no such entry" in done.err
    assert rig.directory("delete", BOB.dn).exit_code == os.EX_DATAERR


@pytest.mark.parametrize("lose", [Slapd.kill, Slapd.freeze])
def test_a_master_that_is_away_is_told_apart_from_a_fault(rig: Rig, lose: Callable[[Slapd], None]) -> None:
    lose(rig.master)
    failed = rig.directory("add", rig.file(BOB))
    assert failed.exit_code == os.EX_TEMPFAIL
    assert "start it, or, if it runs, see what its log says; then repeat this" in failed.err


def test_a_fault_of_the_configuration_that_is_met_after_writing_is_none_of_what_was_given(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = rig.place / "key"

    def confirm_without_secret(*args: Any, **further: Any) -> list[str]:
        aside = key.rename(rig.place / "aside")
        try:
            return confirm_written(*args, **further)
        finally:
            aside.rename(key)

    monkeypatch.setattr("nightmail.cli.directory.confirm_written", confirm_without_secret)
    changes = rig.place / "changes.ldif"
    changes.write_text(change(SOUND[2].dn, "replace: sn", "sn: Other"))
    tables = rig.tables(mailboxes="alice@example.org\n", domains="example.org local\n", routes="example.org discard\n")
    for words in (
        ("import", tables),
        ("modify", str(changes)),
        ("add", rig.file(BOB)),
        ("delete", BOB.dn),
    ):
        failed = rig.directory(*words)
        assert failed.exit_code == os.EX_CONFIG, (words, failed)
        assert "secret_file" in failed.err
