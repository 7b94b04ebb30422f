from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.smtp.talks import cut, cuts

from nightmail.errors import ProtocolViolation
from nightmail.mail.reply import Reply
from nightmail.smtp.reply_reader import LINE_LIMIT_BYTES, REPLY_LIMIT_BYTES, ReplyReader


def read(*pieces: bytes) -> list[Reply]:
    reader = ReplyReader()
    replies = []
    for piece in pieces:
        reader.add(piece)
        while (reply := reader.next()) is not None:
            replies.append(reply)
    return replies


@pytest.mark.parametrize(
    ("wire", "reply"),
    [
        (b"250 2.1.0 Ok\r\n", Reply(250, "2.1.0", "Ok")),
        (b"250 Ok\r\n", Reply(250, "", "Ok")),
        (b"250\r\n", Reply(250, "", "")),
        (b"250 \r\n", Reply(250, "", "")),
        (b"250 2.0.0\r\n", Reply(250, "2.0.0", "")),
        (b"250 5.0.0 Odd\r\n", Reply(250, "", "5.0.0 Odd")),
        (b"250 2.0.0.1 Odd\r\n", Reply(250, "", "2.0.0.1 Odd")),
        (b"550-5.1.1 No\r\n550 5.1.1 such user\r\n", Reply(550, "5.1.1", "No\nsuch user")),
        (b"250-a\r\n250-\r\n250 c\n", Reply(250, "", "a\n\nc")),
        (b"250 tab\there\x00\r\n", Reply(250, "", "tab here ")),
        (b"550 \xff\xe9\r\n", Reply(550, "", "\ufffd\ufffd")),
    ],
)
def test_a_reply_is_understood(wire: bytes, reply: Reply) -> None:
    assert read(wire) == [reply]


def test_replies_in_one_read_come_one_by_one() -> None:
    assert [reply.code for reply in read(b"250 a\r\n250-b\r\n250 b\r\n354 c\r\n22")] == [250, 250, 354]


@pytest.mark.parametrize(
    "wire", [b"\r\n", b"hello\r\n", b"25 x\r\n", b"2500 x\r\n", b"150 x\r\n", b"650 x\r\n", b"250+x\r\n"]
)
def test_what_is_no_reply_is_a_violation(wire: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        read(wire)


def test_a_reply_that_changes_its_code_is_a_violation() -> None:
    with pytest.raises(ProtocolViolation, match="from 250 to 550"):
        read(b"250-a\r\n550 b\r\n")


def test_a_line_is_bounded_with_and_without_its_end() -> None:
    for end in (b"", b"\r\n"):
        with pytest.raises(ProtocolViolation, match="without end"):
            read(b"250 " + b"x" * LINE_LIMIT_BYTES + end)


def test_a_reply_is_bounded() -> None:
    line = b"250-" + b"x" * 1000 + b"\r\n"
    with pytest.raises(ProtocolViolation, match="without end"):
        read(*[line] * (REPLY_LIMIT_BYTES // 1000 + 1))


@given(
    st.lists(st.sampled_from([b"250 ok\r\n", b"250-a\r\n", b"250 b\n", b"354 go\r\n", b"421 \xff\r\n"]), max_size=9),
    cuts,
)
def test_any_split_gives_the_same_replies(parts: list[bytes], places: list[int]) -> None:
    def outcome(pieces: list[bytes]) -> object:
        try:
            return read(*pieces)
        except ProtocolViolation as violation:
            return str(violation)

    data = b"".join(parts)
    assert outcome(cut(data, places)) == outcome([data])
