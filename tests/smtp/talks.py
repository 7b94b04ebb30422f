"""Shells without sockets: one that runs a server core by a policy, and pieces to cut streams into."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import strategies as st

from nightmail.mail.reply import Reply
from nightmail.smtp import replies
from nightmail.smtp.events import (
    BodyEnded,
    BodyReceived,
    BodyRefused,
    CloseRequested,
    DataRequested,
    Event,
    MailReceived,
    QuitReceived,
    RcptReceived,
    ReplyReady,
    TransactionReset,
)
from nightmail.smtp.server import ServerCore, Service
from nightmail.smtp.settings import SmtpSettings

Decision = Callable[[Event], Reply]


def yes(event: Event) -> Reply:
    """Takes everything."""
    return replies.START_INPUT if isinstance(event, DataRequested) else replies.OK


@dataclass
class Message:
    """What a shell would have kept of a message that it acknowledged."""

    sender: str
    recipients: list[str]
    body: bytes
    ended: BodyEnded


@dataclass
class ServerTalk:
    """A session with a server core: sends bytes, decides by `decide`, and remembers everything."""

    core: ServerCore
    decide: Decision = yes
    events: list[Event] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    said: bytes = b""
    _sender: str = ""
    _recipients: list[str] = field(default_factory=list)
    _body: bytearray = field(default_factory=bytearray)

    def send(self, data: bytes) -> bytes:
        """What the server says to `data`."""
        said = self._note(self.core.receive(data))
        while self.core.is_waiting:
            said += self._decide(self.events[-1])
            said += self._note(self.core.receive(b""))
        self.said += said
        return said

    def send_all(self, pieces: Iterable[bytes]) -> bytes:
        """What the server says to all the pieces."""
        return b"".join([self.send(piece) for piece in pieces])

    def _decide(self, event: Event) -> bytes:
        reply = self.decide(event)
        if reply.is_positive:
            self._keep(event)
        return self.core.answer(reply)

    def _keep(self, event: Event) -> None:
        if isinstance(event, MailReceived):
            self._sender, self._recipients, self._body = event.sender, [], bytearray()
        elif isinstance(event, RcptReceived):
            self._recipients.append(event.address)
        elif isinstance(event, BodyEnded):
            self.messages.append(Message(self._sender, self._recipients, bytes(self._body), event))

    def _note(self, events: Sequence[Event]) -> bytes:
        said = b""
        for event in events:
            self.events.append(event)
            if isinstance(event, BodyReceived):
                self._body += event.data
            elif isinstance(event, ReplyReady | QuitReceived | CloseRequested | BodyRefused):
                said += event.wire
        return said


def talk(
    settings: SmtpSettings | None = None,
    service: Service = "smtp",
    decide: Decision = yes,
    *,
    bare_newlines_allowed: bool = False,
) -> ServerTalk:
    """A session that was greeted, with nothing said yet."""
    core = ServerCore(
        settings or SmtpSettings(), "mx.example.net", service, bare_newlines_allowed=bare_newlines_allowed
    )
    return ServerTalk(core, decide)


def said_hello(
    settings: SmtpSettings | None = None,
    service: Service = "smtp",
    decide: Decision = yes,
    *,
    bare_newlines_allowed: bool = False,
) -> ServerTalk:
    """A session ready for MAIL."""
    session = talk(settings, service, decide, bare_newlines_allowed=bare_newlines_allowed)
    session.send(b"LHLO c.example\r\n" if service == "lmtp" else b"EHLO c.example\r\n")
    return session


def at_data(
    settings: SmtpSettings | None = None, service: Service = "smtp", *, bare_newlines_allowed: bool = False
) -> ServerTalk:
    """A session whose next bytes are a message."""
    session = said_hello(settings, service, bare_newlines_allowed=bare_newlines_allowed)
    session.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
    return session


def without_splits(events: Sequence[Event]) -> list[Event]:
    """The events as if everything had come at once: bodies in one piece, and none that was refused or given up."""
    whole: list[Event] = []
    body = b""
    for event in events:
        if isinstance(event, BodyReceived):
            body += event.data
            continue
        if body and isinstance(event, BodyEnded):
            whole.append(BodyReceived(body))
        if isinstance(event, BodyEnded | BodyRefused | TransactionReset):
            body = b""
        whole.append(event)
    return whole


def cut(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """`data` in pieces that end at the given places."""
    places = [0, *sorted(place % (len(data) + 1) for place in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


cuts = st.lists(st.integers(min_value=0, max_value=10_000), max_size=12)
"""Places at which to cut a stream."""

SMUGGLED = [
    *[b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"\r\n.\n", b"\n.\r\n", b"\r\n.\r", b"\r.\r\n", b"\n\n.\r\n\n", b"\r\n\0.\r\n"],
    *[b".", b"..", b"\r", b"\n", b"\r\n", b"\r\n.", b"\r\n..", b"\r\n\r\n", b" ", b"\0", b"\xc3\xa9", b"\xff"],
    *[b"Received: by x", b"received :", b"\r\nRECEIVED\t: y", b"Subject: s\r\n", b"x" * 300],
]
"""What bodies are made of by those who want two servers to see two different messages."""

COMMANDS = [
    *[b"EHLO c\r\n", b"HELO c\r\n", b"LHLO c\r\n", b"RSET\r\n", b"NOOP\r\n", b"DATA\r\n", b"QUIT\r\n", b"VRFY x\r\n"],
    *[b"MAIL FROM:<a@b.example>\r\n", b"MAIL FROM:<> SIZE=9\r\n", b"MAIL FROM:<\xc3\xa9@b> SMTPUTF8 BODY=8BITMIME\r\n"],
    *[b"RCPT TO:<c@d.example>\r\n", b"RCPT TO:<postmaster>\r\n", b"RCPT TO:<\xc3\xa9@b> NOTIFY=NEVER\r\n"],
    *[
        b"BDAT 3\r\n",
        b"BDAT 0 LAST\r\n",
        b"BDAT 7 LAST\r\n",
        b"BDAT x\r\n",
        b"GET / HTTP/1.1\r\n",
        b"x" * 700 + b"\r\n",
    ],
]
"""What sessions are made of."""
