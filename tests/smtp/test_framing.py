from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.smtp.talks import cut, cuts

from nightmail.smtp.body import ChunkReader, DotReader
from nightmail.smtp.framing import ChunkFraming, DotFraming
from nightmail.smtp.settings import SmtpSettings

lines = st.lists(st.sampled_from([b".", b"..", b"\r\n", b"\r\n.", b"a", b"\r\n.\r\n", b"\xff"]), max_size=30)
messages = lines.map(b"".join)


def framed(framing: DotFraming | ChunkFraming, pieces: list[bytes]) -> bytes:
    return b"".join([bytes(part) for piece in pieces for part in framing.frame(piece)]) + framing.end()


def ended(message: bytes) -> bytes:
    return message if not message or message.endswith(b"\r\n") else message + b"\r\n"


@given(messages, cuts, cuts)
def test_what_is_stuffed_in_any_pieces_is_unstuffed_in_any_others(
    message: bytes, sent: list[int], received: list[int]
) -> None:
    wire = framed(DotFraming(), cut(message, sent))
    reader = DotReader(SmtpSettings())
    assert b"".join([reader.feed(piece) for piece in cut(wire, received) if reader.rest is None]) == ended(message)
    assert reader.rest == b""


@given(messages, cuts)
def test_any_pieces_give_the_same_wire(message: bytes, places: list[int]) -> None:
    assert framed(DotFraming(), cut(message, places)) == framed(DotFraming(), [message])


@given(messages, cuts)
def test_a_lone_dot_ends_the_wire_and_nothing_before_it(message: bytes, places: list[int]) -> None:
    wire = b"\r\n" + framed(DotFraming(), cut(message, places))
    assert wire.find(b"\r\n.\r\n") == len(wire) - 5


def test_what_has_nothing_to_stuff_is_passed_on_without_a_copy() -> None:
    piece = memoryview(b"Subject: x\r\n\r\nHello.\r\n")
    framing = DotFraming()
    assert framing.frame(piece)[0] is piece
    assert framing.frame(b"") == []
    assert framing.end() == b".\r\n"


def test_a_missing_line_end_is_added() -> None:
    framing = DotFraming()
    framing.frame(b"x")
    assert framing.end() == b"\r\n.\r\n"


def test_an_empty_message_is_a_lone_dot() -> None:
    assert DotFraming().end() == b".\r\n"


@given(messages, cuts)
def test_chunks_carry_the_message_as_it_is(message: bytes, places: list[int]) -> None:
    framing, reader = ChunkFraming(), ChunkReader(SmtpSettings())
    body = b""
    for piece in cut(message, places):
        if piece:
            command, chunk = framing.frame(piece)
            assert command == b"BDAT %d\r\n" % len(piece)
            assert chunk is piece
            body += reader.feed(piece)
    command, _, rest = framing.end().partition(b"\r\n")
    assert command == b"BDAT %d LAST" % len(rest)
    assert body + reader.feed(rest) + reader.finish() == ended(message)
