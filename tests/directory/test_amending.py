"""What an entry will be after changes is what the directory makes of it, and what is so already stays so."""

from __future__ import annotations

import ldap
import pytest

from nightmail.directory.amending import amended, is_as_wanted, is_carried_out
from nightmail.directory.reading import Change, read_ldif
from nightmail.directory.tree import Item

ITEM = Item("o=x", {"o": ("x",), "mail": ("a@x.org", "b@x.org"), "description": ("d",)})


def changed(*lines: str) -> Item:
    [(_, change)] = read_ldif("\n".join(["dn: o=x", "changetype: modify", *lines, ""]), "file").changes
    return amended(ITEM, change)


@pytest.mark.parametrize(
    ("lines", "attribute", "values"),
    [
        (["add: mail", "mail: c@x.org", "mail: A@x.org"], "mail", ("a@x.org", "b@x.org", "c@x.org")),
        (["delete: mail", "mail: A@x.org"], "mail", ("b@x.org",)),
        (["delete: mail", "mail: c@x.org"], "mail", ("a@x.org", "b@x.org")),
        (["delete: mail"], "mail", ()),
        (["replace: Mail", "Mail: c@x.org"], "mail", ("c@x.org",)),
        (["replace: mail"], "mail", ()),
        (["delete: mail", "-", "add: mail", "mail: c@x.org"], "mail", ("c@x.org",)),
        (["add: sn", "sn: s"], "sn", ("s",)),
    ],
)
def test_values_are_added_taken_away_and_replaced(lines: list[str], attribute: str, values: tuple[str, ...]) -> None:
    assert changed(*lines).values(attribute) == values
    assert amended(changed(*lines), []) == changed(*lines)


def test_a_number_that_is_to_grow_is_left_alone() -> None:
    growing: Change = [(ldap.MOD_INCREMENT, "description", [b"1"])]
    assert amended(ITEM, growing) == ITEM
    assert not is_carried_out(ITEM, growing)


def test_a_change_that_was_carried_out_is_known_as_such() -> None:
    assert is_carried_out(ITEM, [(ldap.MOD_ADD, "mail", [b"a@x.org"]), (ldap.MOD_DELETE, "sn", None)])
    assert not is_carried_out(ITEM, [(ldap.MOD_DELETE, "mail", [b"a@x.org"])])
    assert not is_carried_out(ITEM, [(ldap.MOD_DELETE, "userPassword", None)])


def test_what_is_there_as_it_is_wanted_is_known_whatever_the_case() -> None:
    assert is_as_wanted(ITEM, {"O": ("X",), "mail": ("B@x.org", "a@X.org")})
    assert not is_as_wanted(ITEM, {"mail": ("a@x.org",)})
    assert not is_as_wanted(ITEM, {"mail": ("a@x.org", "b@x.org", "c@x.org")})
    assert not is_as_wanted(ITEM, {"sn": ("s",)})
    assert not is_as_wanted(ITEM, {"o": ("x",), "userPassword": ("secret",)})
