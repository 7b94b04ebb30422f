"""LDIF as people write it: entries and changes, or a clear refusal."""

from __future__ import annotations

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
