"""Targets for fuzzing: bytes that decide what a peer sends, where it is cut, and what the shell answers.

A target returns if all is well. It raises if a core crashes, keeps more than it may, or says what it must not.
"""

from __future__ import annotations

from collections.abc import Iterator

from nightmail.errors import ProtocolViolation
from nightmail.mail.envelope import Envelope, Recipient
from nightmail.mail.reply import Reply
from nightmail.smtp.client import ClientCore
from nightmail.smtp.client_events import BodyWanted, CommandReady, Greeted, MessageAnswered, ProtocolBroken
from nightmail.smtp.events import (
    BodyEnded,
    BodyReceived,
    BodyRefused,
    CloseRequested,
    Event,
    MailReceived,
    QuitReceived,
    RcptReceived,
)
from nightmail.smtp.reply_reader import LINE_LIMIT_BYTES, REPLY_LIMIT_BYTES
from nightmail.smtp.server import INPUT_LIMIT_BYTES, ServerCore
from nightmail.smtp.settings import SmtpSettings

_SETTINGS = SmtpSettings(message_size_limit_bytes=2048, command_length_bytes=512, recipient_limit=100, received_limit=3)
_ANSWERS = (
    *[Reply(250, "2.0.0", "Ok")] * 5,
    Reply(354, "", "Go on"),
    Reply(450, "4.2.0", "Later\r\n250 injected"),
    Reply(550, "5.1.1", "Ünknown"),
    Reply(421, "4.3.2", "Down"),
)
_SAID_BY_CLIENTS = (
    *[
        b"EHLO a\r\n",
        b"LHLO a\r\n",
        b"MAIL FROM:<a@b>\r\n",
        b"MAIL FROM:<> SIZE=9 BODY=8BITMIME\r\n",
        b"RCPT TO:<c@d>\r\n",
    ],
    *[
        b"RCPT TO:<postmaster>\r\n",
        b"DATA\r\n",
        b"BDAT 9\r\n",
        b"BDAT 5 LAST\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"QUIT\r\n",
    ],
    *[
        b"\r\n.\r\n",
        b"\r\n.",
        b"\n.\n",
        b"\r",
        b"\n",
        b".",
        b"Received: x\r\n",
        b"x" * 600,
        b"\0",
        b"\xc3\xa9",
        b"\xff",
    ],
)
_SAID_BY_SERVERS = (
    *[b"220 hi\r\n", b"250 ok\r\n", b"250 2.1.0 ok\r\n", b"250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n", b"354 go\r\n"],
    *[b"550 5.1.1 no\r\n", b"450 4.2.0 no\r\n", b"421 bye\r\n", b"250-", b"2", b"\r\n", b"\n", b"\xff", b"x" * 5000],
)
_ENVELOPE = Envelope("a@b.example", (Recipient("c@d.example"), Recipient("e@f.example")))


def fuzz_server_core(data: bytes) -> None:
    """Drive a server core with what `data` spells. Raises: AssertionError, or whatever the core did wrong."""
    choices = iter(data)
    options = next(choices, 0)
    core = ServerCore(
        _SETTINGS, "mx.example", "lmtp" if options & 1 else "smtp", bare_newlines_allowed=bool(options & 2)
    )
    body = bytearray()
    for piece in _spoken(choices, _SAID_BY_CLIENTS):
        events = core.receive(piece)
        while True:
            for event in events:
                _check_server_event(event, body)
            if not core.is_waiting:
                break
            wire = core.answer(_ANSWERS[next(choices, 0) % len(_ANSWERS)])
            _check_wire(wire)
            events = core.receive(b"")
        assert core.buffered_bytes <= _SETTINGS.command_length_bytes
    core.close(Reply(421, "4.4.2", "Idle"))
    assert core.is_closed
    assert core.buffered_bytes == 0


def _check_server_event(event: Event, body: bytearray) -> None:
    if isinstance(event, MailReceived):
        body.clear()
        _check_address(event.sender)
    elif isinstance(event, RcptReceived):
        _check_address(event.address)
    elif isinstance(event, BodyReceived):
        body += event.data
        assert len(body) <= _SETTINGS.message_size_limit_bytes
    elif isinstance(event, BodyEnded):
        _check_body(bytes(body), event)
        body.clear()
    elif isinstance(event, BodyRefused):
        assert not event.reply.is_positive
        _check_wire(event.wire)
        body.clear()
    elif isinstance(event, QuitReceived | CloseRequested):
        _check_wire(event.wire)


def _check_address(address: str) -> None:
    assert address.isprintable()
    assert address == "" or "@" in address or address.lower() == "postmaster"


def _check_body(body: bytes, ended: BodyEnded) -> None:
    bare = body.replace(b"\r\n", b"")
    assert b"\r" not in bare
    assert b"\n" not in bare
    assert body == b"" or body.endswith(b"\r\n")
    assert ended.size_bytes == len(body)
    assert ended.eight_bit == (not body.isascii())


def _check_wire(wire: bytes) -> None:
    """Every line is a reply's, and none was smuggled in by a text."""
    assert wire == b"" or wire.endswith(b"\r\n")
    for line in wire.split(b"\r\n")[:-1]:
        assert line[:3].isdigit()
        assert line[3:4] in (b" ", b"-")
        assert b"\r" not in line
        assert b"\n" not in line
        assert not line.startswith(b"250 injected")


def fuzz_client_core(data: bytes) -> None:
    """Drive a client core with what `data` spells. Raises: AssertionError, or whatever the core did wrong."""
    choices = iter(data)
    options = next(choices, 0)
    core = ClientCore("me.example", lmtp=bool(options & 1), chunking=bool(options & 2))
    verdicts: list[int] = []
    for piece in _spoken(choices, _SAID_BY_SERVERS):
        was_closed = core.is_closed
        events = core.receive(piece)
        assert not (was_closed and events)
        assert core.buffered_bytes <= LINE_LIMIT_BYTES + REPLY_LIMIT_BYTES
        for event in events:
            if isinstance(event, MessageAnswered):
                verdicts += event.indexes
            elif isinstance(event, Greeted | BodyWanted):
                _go_on(core, next(choices, 0))
            assert not isinstance(event, CommandReady) or event.wire.endswith(b"\r\n")
            assert not isinstance(event, ProtocolBroken) or core.is_closed
        if core.is_ready:
            assert core.unanswered == ()
            verdicts.clear()
            core.begin(_ENVELOPE, (0, 1), 9)
        assert len(verdicts) == len(set(verdicts)), "two verdicts for one recipient"
        assert not set(verdicts) & set(core.unanswered)


def _go_on(core: ClientCore, choice: int) -> None:
    if core.wants_body:
        for _ in range(choice % 3):
            core.body(b".x\r\n")
        if choice & 4:
            core.end_of_body()
            assert core.final_sent
        return
    try:
        core.hello()
    except ProtocolViolation:
        assert core.is_closed or core.buffered_bytes <= INPUT_LIMIT_BYTES


def _spoken(choices: Iterator[int], vocabulary: tuple[bytes, ...]) -> Iterator[bytes]:
    """Pieces of a stream: words of the vocabulary, words cut short, or bytes as they come."""
    for choice in choices:
        if choice < 192:
            yield vocabulary[choice % len(vocabulary)]
        elif choice < 224:
            word = vocabulary[next(choices, 0) % len(vocabulary)]
            at = next(choices, 0) % (len(word) + 1)
            yield word[:at]
            yield word[at:]
        else:
            yield bytes([next(choices, 0)])
