from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.routing.table_texts import write_tables

from nightmail.errors import ConfigInvalid
from nightmail.routing.source import Entry
from nightmail.routing.tables import read_table


def read(directory: Path, text: str | bytes) -> list[Entry]:
    return list(read_table(str(write_tables(directory, aliases=text)), "aliases"))


def pairs(directory: Path, text: str | bytes) -> list[tuple[str, str]]:
    return [(key, value) for _, key, value in read(directory, text)]


def test_a_line_is_a_key_and_a_value(tmp_path: Path) -> None:
    text = "a@example.org b@example.org\n\n# a comment\nc@example.org\t \td, e\r\nf"
    assert pairs(tmp_path, text) == [("a@example.org", "b@example.org"), ("c@example.org", "d, e"), ("f", "")]


def test_a_hash_begins_a_comment_only_at_the_start_of_a_line(tmp_path: Path) -> None:
    assert pairs(tmp_path, "a#b c # d\n#e f\n") == [("a#b", "c # d")]


def test_a_line_that_begins_with_white_space_continues_the_last(tmp_path: Path) -> None:
    text = "list a,\n  b,\n# a comment in between\n\n\tc\nother d\n"
    assert pairs(tmp_path, text) == [("list", "a, b, c"), ("other", "d")]


def test_a_value_may_begin_on_the_next_line(tmp_path: Path) -> None:
    assert pairs(tmp_path, "list\n  a\n") == [("list", "a")]


def test_an_entry_knows_the_line_on_which_it_begins(tmp_path: Path) -> None:
    tables = write_tables(tmp_path, aliases="# first\nlist\n  a\nother b\n")
    assert [entry.place for entry in read_table(str(tables), "aliases")] == [
        f"{tables}/aliases:2",
        f"{tables}/aliases:4",
    ]


def test_a_quoted_local_part_may_hold_spaces(tmp_path: Path) -> None:
    text = '"two words"@example.org a\n"a \\" b"@example.org\tb\n"never closed c\n'
    assert pairs(tmp_path, text) == [
        ('"two words"@example.org', "a"),
        ('"a \\" b"@example.org', "b"),
        ('"never closed c', ""),
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    assert pairs(tmp_path, "\ufeffa b\n") == [("a", "b")]


def test_no_file_has_no_entries(tmp_path: Path) -> None:
    assert list(read_table(str(tmp_path), "aliases")) == []


@pytest.mark.parametrize(
    ("text", "line", "wrong"),
    [
        (b"# only a comment\n  a b\n", 2, "the line begins with white space and continues nothing"),
        (b"a b\nc \xff\n", 2, "the line is not UTF-8"),
        (b"a b\0\n", 1, "the line has a NUL"),
    ],
)
def test_what_is_no_entry_is_named_by_its_line(tmp_path: Path, text: bytes, line: int, wrong: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read(tmp_path, text)
    assert caught.value.place == f"{tmp_path}/tables/aliases:{line}"
    assert caught.value.wrong == wrong
    assert caught.value.right


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "aliases").mkdir()
    with pytest.raises(ConfigInvalid, match="aliases: it can't be read: Is a directory"):
        list(read_table(str(tmp_path), "aliases"))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_file_is_read_or_refused_with_a_line(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    directory = tmp_path_factory.getbasetemp()
    keys, place = ["key"], f"{directory}/tables/aliases:1"
    try:
        keys = [entry.key for entry in read(directory, text)]
    except ConfigInvalid as error:
        place = error.place
    assert all(keys)
    assert place.startswith(f"{directory}/tables/aliases:")
