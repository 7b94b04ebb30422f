from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.mail.headers import HEADER_LIMIT_BYTES, field, fields, find_header, header_end, printable

HEADER = b"Received: from a\r\n\tby b\r\nsubject : Lunch\r\n on  Friday\r\nX-Subject: no\r\n\r\n"
MESSAGE = HEADER + b"Subject: not a header\r\n\r\n"


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_the_header_ends_at_the_first_blank_line(wrap: type) -> None:
    assert MESSAGE[header_end(wrap(MESSAGE)) :] == b"Subject: not a header\r\n\r\n"


@pytest.mark.parametrize(("message", "end"), [(b"", 0), (b"\r\nbody", 2), (b"A: b\r\n", 6), (b"A: b\r\n\r\n", 8)])
def test_a_message_without_a_header_or_a_body_is_one_all_the_same(message: bytes, end: int) -> None:
    assert header_end(message) == end


def test_a_header_without_end_ends_at_a_limit() -> None:
    assert header_end(b"x" * (HEADER_LIMIT_BYTES + 10)) == HEADER_LIMIT_BYTES


def test_a_field_is_found_whatever_its_case_and_unfolded() -> None:
    assert find_header(MESSAGE, "Subject") == "Lunch on Friday"
    assert find_header(memoryview(MESSAGE), "RECEIVED") == "from a by b"
    assert find_header(MESSAGE, "Date") is None


def test_a_value_without_end_is_cut() -> None:
    assert find_header(b"Subject: " + b"x" * 100_000 + b"\r\n\r\n", "subject", 20) == "x" * 17 + "..."


def test_the_fields_come_in_order_up_to_the_first_line_that_is_none() -> None:
    found = [(name, value) for name, value, *_ in fields(b"A: 1\r\nB :2\r\n 3\r\nno field\r\nC: 4\r\n\r\n")]
    assert found == [("a", b" 1"), ("b", b"2\r\n 3")]


@given(st.binary(max_size=300))
def test_any_octets_have_fields_that_lie_within_their_header(message: bytes) -> None:
    end = header_end(message)
    assert all(start < stop <= end for _, _, start, stop in fields(message))
    find_header(message, "subject")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\r\nlines", "two lines"),
        ("nul\x00 bell\x07 escape\x1b[31m", "nul bell escape [31m"),
        ("turned \u202eround", "turned round"),
        ("a\u2028b\x85c", "a b c"),
        ("half \ud800", "half"),
        ("  grün 😀 ", "grün 😀"),
    ],
)
def test_what_does_not_show_is_taken_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_long_field_is_folded_at_its_spaces() -> None:
    line = field("Subject", "word " * 40)
    assert all(len(part) <= 78 for part in line.split(b"\r\n"))
    assert line.replace(b"\r\n ", b" ") == b"Subject:" + b" word" * 40 + b"\r\n"


def test_characters_beyond_ascii_are_written_only_where_they_may() -> None:
    assert field("To", "<jörg@x>") == b"To: <j?rg@x>\r\n"
    assert field("To", "<jörg@x>", utf8=True) == "To: <jörg@x>\r\n".encode()


@given(st.text(max_size=3000), st.booleans())
def test_no_value_breaks_out_of_its_field(value: str, utf8: bool) -> None:
    line = field("X", value, utf8=utf8)
    assert line.startswith(b"X: ")
    assert line.endswith(b"\r\n")
    first, *further = line[:-2].split(b"\r\n")
    assert all(part.startswith(b" ") and part.strip() for part in further)
    assert all(len(part) <= 998 and b"\r" not in part and b"\n" not in part for part in [first, *further])


def test_a_word_that_no_line_can_hold_is_broken() -> None:
    lines = field("X", "y" * 998, utf8=True).split(b"\r\n")
    assert [len(line) for line in lines] == [3 + 900, 1 + 98, 0]
