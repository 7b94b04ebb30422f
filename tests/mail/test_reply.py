from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.mail.reply import Reply


@pytest.mark.parametrize(
    ("reply", "wire"),
    [
        (Reply(250, "2.0.0", "Ok: queued as 0ABC"), b"250 2.0.0 Ok: queued as 0ABC\r\n"),
        (Reply(354, "", "Go ahead"), b"354 Go ahead\r\n"),
        (
            Reply(250, "", "mx.example.net\nPIPELINING\nSIZE 10"),
            b"250-mx.example.net\r\n250-PIPELINING\r\n250 SIZE 10\r\n",
        ),
        (Reply(550, "5.1.1", "no\nsuch user"), b"550-5.1.1 no\r\n550 5.1.1 such user\r\n"),
        (Reply(250, "2.1.5", ""), b"250 2.1.5 \r\n"),
        (Reply(553, "5.1.3", "bad\r250 2.0.0 Ok\x00\x1b[2J"), b"553 5.1.3 bad 250 2.0.0 Ok  [2J\r\n"),
        (Reply(550, "5.7.1", "für niemanden"), "550 5.7.1 für niemanden\r\n".encode()),
    ],
)
def test_a_reply_goes_over_the_wire_line_by_line(reply: Reply, wire: bytes) -> None:
    assert reply.encode() == wire


@given(st.text(max_size=3000))
def test_no_text_ends_a_line_of_its_own_or_makes_one_too_long(text: str) -> None:
    wire = Reply(550, "5.1.1", text).encode()
    lines = wire.split(b"\r\n")
    assert lines.pop() == b""
    assert all(line.startswith(b"550-5.1.1 ") for line in lines[:-1])
    assert lines[-1].startswith(b"550 5.1.1 ")
    assert all(len(line) <= 510 and b"\r" not in line and b"\n" not in line for line in lines)


def test_a_reply_is_shown_on_one_line() -> None:
    assert str(Reply(550, "5.1.1", "no\n  such\r\nuser")) == "550 5.1.1 no such user"
    assert str(Reply(220, "", "")) == "220"


@pytest.mark.parametrize(
    ("code", "is_positive", "is_permanent"),
    [(250, True, False), (354, True, False), (199, False, False), (421, False, False), (550, False, True)],
)
def test_the_first_digit_tells_what_to_do(code: int, is_positive: bool, is_permanent: bool) -> None:
    reply = Reply(code, "", "text")
    assert (reply.is_positive, reply.is_permanent) == (is_positive, is_permanent)
