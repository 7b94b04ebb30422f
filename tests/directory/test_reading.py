"""LDIF as people write it: entries and changes, or a clear refusal."""

from __future__ import annotations

import re

import ldap
import pytest

from nightmail.directory.ldif import ldif_of
from nightmail.directory.reading import read_ldif
from nightmail.directory.tree import Item, item_of
from nightmail.errors import ConfigInvalid


def test_entries_are_read_as_they_were_written() -> None:
    item = Item("cn=ü,o=x", {"objectClass": ("person",), "cn": ("ü",), "description": (" a", "b\nc")})
    assert read_ldif(ldif_of([item]), "file").entries == [item]


def test_changes_are_read() -> None:
    text = "dn: cn=a,o=x\nchangetype: modify\nreplace: mail\nmail: a@x.org\n-\ndelete: description\n-\n"
    [(name, change)] = read_ldif(text, "file").changes
    assert name == "cn=a,o=x"
    assert change == [(ldap.MOD_REPLACE, "mail", [b"a@x.org"]), (ldap.MOD_DELETE, "description", None)]


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "this is no ldif\n", "dn: cn=a,o=x\nchangetype: never\n", "dn: cn=a,o=x\nchangetype: modify\n"],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        read_ldif(text, "file")
    assert refused.value.place.startswith("file")


def test_no_value_is_fetched_from_anywhere() -> None:
    with pytest.raises(ConfigInvalid, match="at a URL, which is not fetched"):
        read_ldif("dn: cn=a,o=x\ncn: a\ndescription:< file:///etc/hostname\n", "file")


def test_the_text_of_an_entry_of_ours_is_ldif() -> None:
    item = item_of("aliases", "#team@x.org", '"a, b"@x.org, c@x.org', "o=x")
    assert read_ldif(ldif_of([item]), "file").entries == [item]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("this is no ldif\n", 1),
        ("dn: o=x\no: x\nbroken line\n", 3),
        ("dn: o=x\n# a comment\ndescription: a\n  b\n  c\nbroken line\no: x\n", 6),
        ("version: 1\n\ndn: o=x\nbroken\n", 4),
        ("dn: o=x\no: x\n\n\nou: y\n", 5),
        ("dn: no name\no: x\n", 1),
        ("dn: o=x\nchangetype: modify\nreplace: a\na: b\nb: c\n-\n", 5),
    ],
)
def test_the_line_that_is_none_is_named(text: str, line: int) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        read_ldif(text, "file")
    assert refused.value.place == f"file:{line}"
    assert "Line" not in refused.value.wrong


def test_an_entry_may_say_that_it_is_to_be_added() -> None:
    text = "version: 1\n\ndn: o=x\nchangetype: add\no: x\n\ndn: ou=y,o=x\nou: y\n"
    assert [(item.dn, item.attributes) for item in read_ldif(text, "file").entries] == [
        ("o=x", {"o": ("x",)}),
        ("ou=y,o=x", {"ou": ("y",)}),
    ]
    with pytest.raises(ConfigInvalid, match=r"^file:5: this is not LDIF"):
        read_ldif(text.replace("o: x", "broken", 1), "file")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("delete", "changetype: delete is not carried out; `nightmail directory delete NAME` deletes entries"),
        ("modrdn", "changetype: modrdn is not carried out; changetype: add and changetype: modify are"),
        ("modify", "it has entries to add and changes of others; put them into two files"),
    ],
)
def test_other_changes_beside_an_entry_are_refused_with_what_carries_them_out(kind: str, told: str) -> None:
    text = f"dn: o=x\nchangetype: add\no: x\n\ndn: ou=y,o=x\nchangetype: {kind}\n"
    with pytest.raises(ConfigInvalid, match=re.escape(f"file: {told}")):
        read_ldif(text, "file")


def test_the_case_of_an_attribute_does_not_matter_where_it_is_changed() -> None:
    text = "dn: o=x\nchangetype: modify\nreplace: mail\nMAIL: a\n# b\nMail:: Yg==\n-\nadd: sn\nSN: s\n-\n"
    [(_, change)] = read_ldif(text, "file").changes
    assert change == [(ldap.MOD_REPLACE, "mail", [b"a", b"b"]), (ldap.MOD_ADD, "sn", [b"s"])]


def test_a_value_of_another_attribute_is_never_passed_over() -> None:
    text = "dn: o=x\nchangetype: modify\nreplace: mailLocalAddress\nmail: a@x.org\n-\n"
    with pytest.raises(ConfigInvalid, match=r"^file:4: .*mail stands where a value of mailLocalAddress is expected"):
        read_ldif(text, "file")
