"""Distinguished names and filters: whatever a user gave means itself in them."""

from __future__ import annotations

import pytest

from nightmail.directory.names import any_of, equals, escape_filter, escape_name


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("alice@example.org", "alice@example.org"),
        ("a,b", r"a\,b"),
        ("#1", r"\#1"),
        (" x ", r"\ x\ "),
        (" ", r"\ "),
        ("cn=admin", r"cn\=admin"),
        ('"a b"@x', r"\"a b\"@x"),
        ("a\\b", r"a\\b"),
        ("a\\ ", r"a\\\ "),
        ("a\0b", r"a\00b"),
        ("<a>;b+c", r"\<a\>\;b\+c"),
    ],
)
def test_a_value_in_a_name_is_escaped(value: str, written: str) -> None:
    assert escape_name(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("alice", "alice"),
        ("*", r"\2a"),
        ("a)(uid=*", r"a\29\28uid=\2a"),
        ("a\\b\0", r"a\5cb\00"),
        ("über", "über"),
    ],
)
def test_a_value_in_a_filter_is_escaped(value: str, written: str) -> None:
    assert escape_filter(value) == written


def test_filters_are_built_of_escaped_values() -> None:
    assert any_of(equals("cn", "*"), equals("uid", "a")) == r"(|(cn=\2a)(uid=a))"
