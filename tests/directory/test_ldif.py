"""Entries as LDIF: what is not plain is encoded, so that no value can begin a line of its own."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.directory.ldif import ldif_of
from nightmail.directory.tree import Item


def test_entries_follow_one_another() -> None:
    first = Item("o=x", {"objectClass": ("top", "organization"), "o": ("x",)})
    second = Item("ou=y,o=x", {"ou": ("y",)})
    assert (
        ldif_of([first, second])
        == "dn: o=x\nobjectClass: top\nobjectClass: organization\no: x\n\ndn: ou=y,o=x\nou: y\n\n"
    )


@pytest.mark.parametrize("value", [" a", "a ", ":a", "<a", "ü", "a\nb: c", "a\rb", "a\0"])
def test_a_value_that_is_not_plain_is_encoded(value: str) -> None:
    assert ldif_of([Item("o=x", {"o": (value,)})]).splitlines()[1] == f"o:: {base64.b64encode(value.encode()).decode()}"


@given(st.text())
def test_any_value_is_one_line_and_comes_back(value: str) -> None:
    _, line, end = ldif_of([Item("o=x", {"o": (value,)})]).split("\n", 2)
    name, _, rest = line.partition(":")
    assert (name, end) == ("o", "\n")
    assert (base64.b64decode(rest[2:]).decode() if rest.startswith(": ") else rest[1:]) == value
