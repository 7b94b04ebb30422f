from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.smtp.talks import SMUGGLED, cut, cuts

from nightmail.smtp import replies
from nightmail.smtp.body import BodyReader, ChunkReader, DotReader
from nightmail.smtp.settings import SmtpSettings

SETTINGS = SmtpSettings()
text = st.lists(st.sampled_from(SMUGGLED), max_size=30).map(b"".join)


def read(pieces: list[bytes], settings: SmtpSettings = SETTINGS, **allowed: bool) -> tuple[DotReader, bytes]:
    reader = DotReader(settings, **allowed)
    body = b""
    for piece in pieces:
        if reader.rest is not None:
            reader.rest += piece
        else:
            body += reader.feed(piece)
    return reader, body


def read_chunks(pieces: list[bytes], settings: SmtpSettings = SETTINGS, **allowed: bool) -> tuple[ChunkReader, bytes]:
    reader = ChunkReader(settings, **allowed)
    return reader, b"".join([reader.feed(piece) for piece in pieces]) + reader.finish()


def facts(reader: BodyReader) -> tuple[object, ...]:
    return (reader.refusal, reader.size_bytes, reader.received_count, reader.eight_bit, reader.utf8_headers)


def has_bare_newline(data: bytes) -> bool:
    rest = data.replace(b"\r\n", b"")
    return b"\r" in rest or b"\n" in rest


def test_a_message_in_one_read_comes_out_in_one_piece() -> None:
    reader = DotReader(SETTINGS)
    assert reader.feed(b"Subject: x\r\n\r\nHello\r\n.\r\n") == b"Subject: x\r\n\r\nHello\r\n"
    assert reader.rest == b""


def test_an_empty_message_is_a_lone_dot() -> None:
    reader, body = read([b".\r\nQUIT\r\n"])
    assert (body, reader.rest, reader.size_bytes) == (b"", b"QUIT\r\n", 0)


def test_a_stuffed_dot_loses_one_dot_also_on_the_first_line() -> None:
    assert read([b"..a\r\n...\r\n.b\r\nc.\r\n..\r\n.\r\n"])[1] == b".a\r\n..\r\nb\r\nc.\r\n.\r\n"


@given(text, cuts)
def test_any_split_of_a_body_gives_the_same_message(data: bytes, places: list[int]) -> None:
    whole, body = read([data])
    split, pieces = read(cut(data, places))
    assert facts(split) == facts(whole)
    assert split.rest == whole.rest
    if whole.refusal is None and whole.rest is not None:
        assert pieces == body


@given(text, cuts)
def test_any_split_of_a_mended_body_gives_the_same_message(data: bytes, places: list[int]) -> None:
    whole, body = read([data], bare_newlines_allowed=True)
    split, pieces = read(cut(data, places), bare_newlines_allowed=True)
    assert (facts(split), split.rest) == (facts(whole), whole.rest)
    if whole.rest is not None:
        assert pieces == body


@given(text)
def test_a_message_ends_where_the_first_lone_dot_between_real_line_ends_stands_and_nowhere_else(data: bytes) -> None:
    for allowed in (False, True):
        reader, _ = read([data], bare_newlines_allowed=allowed)
        end = (b"\r\n" + data).find(b"\r\n.\r\n")
        assert reader.rest == (None if end < 0 else data[end + 3 :])


@given(text, cuts)
def test_unstuffing_is_what_the_standard_says_line_by_line(data: bytes, places: list[int]) -> None:
    data = data.replace(b"\r\n.\r\n", b"") + b"\r\n.\r\n"
    reader, body = read(cut(data, places))
    end = (b"\r\n" + data).find(b"\r\n.\r\n")
    lines = data[:end].split(b"\r\n")
    if has_bare_newline(data[:end]):
        assert reader.refusal == replies.BARE_NEWLINE_BODY
    else:
        assert body == b"\r\n".join(line.removeprefix(b".") for line in lines)


@pytest.mark.parametrize("end", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\n\r\n.\r"])
def test_what_only_looks_like_the_end_is_text_and_breaks_the_message(end: bytes) -> None:
    smuggled = b"Subject: x\r\n\r\nfirst" + end + b"MAIL FROM:<root@example.org>\r\n"
    reader, body = read([smuggled])
    assert reader.rest is None
    reader.feed(b"\r\n.\r\nNOOP\r\n")
    assert reader.rest == b"NOOP\r\n"
    assert reader.refusal == replies.BARE_NEWLINE_BODY
    assert body == b""


def test_allowed_bare_line_feeds_become_line_ends_and_carriage_returns_blanks() -> None:
    reader, body = read([b"a\nb\r\n.c\n..d\n\re\r\n.\r\n"], bare_newlines_allowed=True)
    assert (body, reader.refusal) == (b"a\r\nb\r\nc\r\n.d\r\n e\r\n", None)


@given(text, cuts)
def test_a_message_that_is_handed_over_never_holds_a_bare_newline(data: bytes, places: list[int]) -> None:
    for allowed in (False, True):
        reader, body = read([*cut(data, places), b"\r\n.\r\n"], bare_newlines_allowed=allowed)
        if reader.refusal is None:
            assert not has_bare_newline(body)
            assert body == b"" or body.endswith(b"\r\n")
            assert reader.size_bytes == len(body)


@given(text, cuts)
def test_any_split_of_chunks_gives_the_same_message(data: bytes, places: list[int]) -> None:
    for allowed in (False, True):
        whole, body = read_chunks([data], bare_newlines_allowed=allowed)
        split, pieces = read_chunks(cut(data, places), bare_newlines_allowed=allowed)
        assert facts(split) == facts(whole)
        if whole.refusal is None:
            assert pieces == body
            assert not has_bare_newline(body)
        assert (whole.refusal is None) == (allowed or not has_bare_newline(data))


def test_chunks_keep_their_dots_and_gain_a_missing_line_end() -> None:
    assert read_chunks([b".a\r\n", b"..", b"\r\nb"])[1] == b".a\r\n..\r\nb\r\n"
    assert read_chunks([])[1] == b""


def test_a_message_over_the_limit_is_read_to_its_end_and_then_refused() -> None:
    settings = SmtpSettings(message_size_limit_bytes=1024)
    reader, body = read([b"x" * 1000 + b"\r\n", b"y" * 20 + b"\r\n", b"z\r\n", b".\r\nNOOP\r\n"], settings)
    assert reader.refusal == replies.TOO_BIG
    assert reader.rest == b"NOOP\r\n"
    assert len(body) <= 1024


def test_the_limit_itself_is_not_over_the_limit() -> None:
    settings = SmtpSettings(message_size_limit_bytes=1024)
    assert read([b"x" * 1022 + b"\r\n.\r\n"], settings)[0].refusal is None
    assert read([b"x" * 1023 + b"\r\n.\r\n"], settings)[0].refusal == replies.TOO_BIG


def test_stuffed_dots_do_not_count_for_the_size() -> None:
    settings = SmtpSettings(message_size_limit_bytes=1024)
    assert read([b"." * 1023 + b"\r\n.\r\n"], settings)[0].refusal is None


@given(cuts)
def test_received_headers_are_counted_in_the_header_only_and_in_any_case(places: list[int]) -> None:
    four = b"Received: a\r\n b\r\nRECEIVED : c\r\nreceived\t: d\r\n"
    data = four + b"Received-SPF: no\r\nX-Received: no\r\n..Received: no\r\n"
    data += b".Received: stuffed\r\n\r\nReceived: text\r\nReceived: text\r\n.\r\n"
    reader, _ = read(cut(data, places))
    assert reader.received_count == 4


def test_too_many_received_headers_mean_a_loop() -> None:
    settings = SmtpSettings(received_limit=3)
    trace = b"Received: from x by y\r\n"
    assert read([trace * 3 + b"\r\n.\r\n"], settings)[0].refusal is None
    assert read([trace * 4 + b"\r\n.\r\n"], settings)[0].refusal == replies.LOOPING


@given(cuts)
def test_eight_bit_text_and_headers_are_told_apart(places: list[int]) -> None:
    plain, _ = read(cut(b"A: b\r\n\r\nc\r\n.\r\n", places))
    text_only, _ = read(cut("A: b\r\n\r\né\r\n.\r\n".encode(), places))
    headers, _ = read(cut("A: é\r\n\r\nc\r\n.\r\n".encode(), places))
    assert (plain.eight_bit, plain.utf8_headers) == (False, False)
    assert (text_only.eight_bit, text_only.utf8_headers) == (True, False)
    assert (headers.eight_bit, headers.utf8_headers) == (True, True)


def test_a_message_may_be_all_header_or_all_body() -> None:
    assert read(["A: é\r\n.\r\n".encode()])[0].utf8_headers
    assert not read(["\r\né\r\n.\r\n".encode()])[0].utf8_headers


def test_a_line_of_a_megabyte_passes_unfolded() -> None:
    line = b"x" * 1_000_000 + b"\r\n"
    pieces = cut(line + b".\r\n", range(0, 1_000_000, 10_007))
    assert read(pieces)[1] == line


@given(st.lists(st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"x"]), max_size=200))
def test_a_reader_never_holds_back_more_than_four_bytes(pieces: list[bytes]) -> None:
    reader = DotReader(SETTINGS, bare_newlines_allowed=True)
    taken = 0
    for piece in pieces:
        reader.feed(piece)
        taken += len(piece)
        if reader.rest is not None:
            break
        assert len(reader._held) <= 4
