from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.smtp.talks import cut, cuts

from nightmail.smtp.intake import Intake, LineFault

LIMIT = 64
ENDS = (LineFault.BARE_NEWLINE, LineFault.ENDLESS, None)


def lines_of(pieces: list[bytes], *, bare_newlines_allowed: bool = False) -> list[bytes | LineFault]:
    intake = Intake(LIMIT, bare_newlines_allowed=bare_newlines_allowed)
    lines: list[bytes | LineFault] = []
    for piece in pieces:
        intake.add(piece)
        while (line := intake.line()) not in ENDS:
            lines.append(line)
        if line is not None:
            return [*lines, line]
        assert len(intake) <= LIMIT
    return lines


def test_lines_come_without_their_ends() -> None:
    assert lines_of([b"EHLO a\r\nNO", b"OP\r", b"\n\r\nrest"]) == [b"EHLO a", b"NOOP", b""]


def test_a_line_may_be_as_long_as_the_limit_its_end_included() -> None:
    assert lines_of([b"x" * 62 + b"\r\n"]) == [b"x" * 62]
    assert lines_of([b"x" * 63 + b"\r\n"]) == [LineFault.TOO_LONG]


def test_a_line_that_is_too_long_is_told_before_its_end_and_passed_over() -> None:
    assert lines_of([b"x" * 64]) == [LineFault.TOO_LONG]
    assert lines_of([b"x" * 64, b"y" * 100, b"z\r", b"\nNOOP\r\n"]) == [LineFault.TOO_LONG, b"NOOP"]


def test_a_line_without_end_is_given_up() -> None:
    for pieces in ([b"x" * 100] * 30, [b"x" * 3000 + b"\r\n"]):
        assert lines_of(pieces) == [LineFault.TOO_LONG, LineFault.ENDLESS]


def test_a_bare_newline_is_a_fault_wherever_it_stands() -> None:
    for data in (b"\n", b"NOOP\n", b"a\rb\n", b"x" * 90 + b"\n"):
        assert lines_of([data, b"RSET\r\n"])[-1] is LineFault.BARE_NEWLINE


def test_an_allowed_bare_line_feed_ends_a_line() -> None:
    assert lines_of([b"NOOP\nRSET\r\n\n"], bare_newlines_allowed=True) == [b"NOOP", b"RSET", b""]


@given(st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b"a" * 20, b"b" * 63, b"c" * 600]), max_size=20), cuts)
def test_any_split_gives_the_same_lines(parts: list[bytes], places: list[int]) -> None:
    data = b"".join(parts)
    for allowed in (False, True):
        whole = lines_of([data], bare_newlines_allowed=allowed)
        assert lines_of(cut(data, places), bare_newlines_allowed=allowed) == whole


def test_bytes_are_taken_in_order_up_to_a_limit() -> None:
    intake = Intake(LIMIT, bare_newlines_allowed=False)
    intake.add(b"BDAT 3\r\nabcNOOP")
    assert intake.line() == b"BDAT 3"
    assert intake.take(3) == b"abc"
    intake.add(b"\r\n")
    assert intake.line() == b"NOOP"
    assert intake.take() == b""
    assert len(intake) == 0
