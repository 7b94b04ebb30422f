from __future__ import annotations

import pytest

from nightmail.smtp.incoming import End, Incoming
from nightmail.smtp.intake import Intake
from nightmail.smtp.settings import SmtpSettings


def begin(data: bytes) -> tuple[Incoming, Intake]:
    intake = Intake(512, bare_newlines_allowed=False)
    intake.add(data)
    return Incoming(SmtpSettings(), bare_newlines_allowed=False), intake


def test_what_follows_the_text_stays_in_the_intake() -> None:
    incoming, intake = begin(b"a\r\n.\r\nNOOP\r\n")
    incoming.begin_text()
    assert incoming.read(intake) == (b"a\r\n", End.MESSAGE)
    assert not incoming.is_reading
    assert intake.line() == b"NOOP"


def test_a_message_grows_chunk_by_chunk() -> None:
    incoming, intake = begin(b"ab\rNOOP\r\n")
    incoming.begin_chunk(3, is_last=False)
    assert incoming.read(intake) == (b"ab", End.CHUNK)
    assert intake.line() == b"NOOP"
    intake.add(b"\nc")
    incoming.begin_chunk(2, is_last=True)
    assert incoming.read(intake) == (b"\r\nc\r\n", End.MESSAGE)
    assert incoming.message.size_bytes == len(b"ab\r\nc\r\n")


def test_a_chunk_that_nobody_wants_is_passed_over() -> None:
    incoming, intake = begin(b"ab")
    incoming.pass_over(3)
    assert incoming.read(intake) == (b"", None)
    intake.add(b"cNOOP\r\n")
    assert incoming.read(intake) == (b"", End.PASSED_OVER)
    assert intake.line() == b"NOOP"


def test_there_is_no_message_before_one_began_or_after_it_was_forgotten() -> None:
    incoming, _ = begin(b"")
    incoming.begin_text()
    incoming.forget()
    with pytest.raises(RuntimeError):
        _ = incoming.message
