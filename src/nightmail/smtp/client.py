"""The client's side of an ESMTP or LMTP session, as a machine that never touches a socket.

    GREETING ──220──▶ GREETED ──hello()──▶ HELLO ──250──▶ READY ◀───────────────── TransactionEnded
                                                            │                          ▲
                                                         begin()                       │
                                                            ▼                          │
                                                        ENVELOPE ──354──▶ BODY ──▶ VERDICT
                                                            └── nobody taken: RSET ────┘

Whatever is sent puts the replies that it calls for at the end of a queue; each reply that comes in is handed to the
first of that queue. So pipelining (RFC 2920) is no special case: without it only the next command waits for the last
one's reply. A reply that nothing called for is 421, a refusal in the middle of a message, or the end of all trust.

The shell writes what `hello`, `begin`, `body`, `end_of_body` and `quit` return and every CommandReady, and closes after
Quitted, PeerClosing and ProtocolBroken, from where on the core is CLOSED.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import IntEnum

from nightmail.errors import ProtocolViolation
from nightmail.mail.envelope import Envelope
from nightmail.mail.reply import Reply
from nightmail.smtp import commands
from nightmail.smtp.client_events import (
    BodyWanted,
    ClientEvent,
    CommandReady,
    Greeted,
    HelloAnswered,
    MailAnswered,
    MessageAnswered,
    PeerClosing,
    ProtocolBroken,
    Quitted,
    RecipientAnswered,
    TransactionEnded,
)
from nightmail.smtp.extensions import Extensions
from nightmail.smtp.framing import Buffer, ChunkFraming, DotFraming
from nightmail.smtp.reply_reader import ReplyReader


class State(IntEnum):
    """Where a session stands."""

    GREETING = 0
    GREETED = 1
    HELLO = 2
    READY = 3
    ENVELOPE = 4
    BODY = 5
    VERDICT = 6
    QUITTING = 7
    CLOSED = 8


_NO_EXTENSIONS = Extensions()


class ClientCore:
    """One session with a server.

    `hostname` is how we call ourselves. With `chunking` a message goes by BDAT where the peer offers CHUNKING and
    PIPELINING; LMTP always uses DATA.
    """

    def __init__(self, hostname: str, *, lmtp: bool = False, chunking: bool = False) -> None:
        self._hostname = hostname
        self._is_lmtp = lmtp
        self._may_chunk = chunking and not lmtp
        self._reader = ReplyReader()
        self._state = State.GREETING
        self._events: list[ClientEvent] = []
        self._expected: deque[_Expected] = deque([(ClientCore._greeted, 0)])
        self._unsent: deque[tuple[bytes, _Expected]] = deque()
        self._transactions = 0
        self._extensions = _NO_EXTENSIONS
        self._open: list[int] = []
        self._accepted: list[int] = []
        self._framing: DotFraming | ChunkFraming = DotFraming()
        self._mail_taken = False
        self._final_sent = False

    @property
    def extensions(self) -> Extensions:
        """What the peer announced; nothing before HelloAnswered."""
        return self._extensions

    @property
    def is_ready(self) -> bool:
        """Whether a transaction may begin: the session is in step and the peer's MAILMAX (RFC 9422) not reached."""
        limit = self._extensions.mail_max
        return self._state is State.READY and (limit is None or self._transactions < limit)

    @property
    def is_closed(self) -> bool:
        """Whether the session is over."""
        return self._state is State.CLOSED

    @property
    def wants_body(self) -> bool:
        """Whether the message may be sent now; it ends early when the peer refuses amid BDAT chunks."""
        return self._state is State.BODY

    @property
    def unanswered(self) -> tuple[int, ...]:
        """The recipients that have no verdict yet. If the connection is lost now, they have none."""
        return tuple(self._open)

    @property
    def final_sent(self) -> bool:
        """Whether the final dot or the last chunk was given out: the lack of a verdict is ambiguous from then on."""
        return self._final_sent

    @property
    def buffered_bytes(self) -> int:
        """How much of an unfinished reply is kept."""
        return self._reader.buffered_bytes

    def receive(self, data: bytes) -> list[ClientEvent]:
        """Everything that `data` brings about, in order. Never raises: nonsense is a ProtocolBroken."""
        events: list[ClientEvent] = []
        self._events = events
        self._reader.add(data)
        try:
            while not self.is_closed and (reply := self._reader.next()) is not None:
                self._dispatch(reply)
        except ProtocolViolation as violation:
            self._close(ProtocolBroken(str(violation)))
        return events

    def hello(self) -> bytes:
        """Our name; if the peer does not know EHLO, HELO follows by itself (RFC 5321 §3.2)."""
        self._require(State.GREETED)
        self._state = State.HELLO
        verb = "LHLO" if self._is_lmtp else "EHLO"
        self._expected.append((ClientCore._hello_answered, 0))
        return f"{verb} {self._hostname}\r\n".encode()

    def objection(self, envelope: Envelope, indexes: Sequence[int], size_bytes: int) -> Reply | None:
        """Why the peer can't be offered this message at all (5.3.4, 5.6.3, 5.6.7); ask before `begin`."""
        return commands.objection(self._extensions, envelope, indexes, size_bytes)

    def begin(self, envelope: Envelope, indexes: Sequence[int], size_bytes: int) -> bytes:
        """A transaction for these recipients of the envelope: all its commands at once, if the peer can pipeline.

        Raises:
            ProtocolViolation: the session is not ready, nobody is to have the message, or an address has a line end.
        """
        self._require(State.READY)
        if not indexes:
            raise ProtocolViolation("a transaction without recipients")
        wires = self._envelope_commands(envelope, indexes, size_bytes)
        expected: list[_Expected] = [(ClientCore._mail_answered, 0)]
        expected += [(ClientCore._rcpt_answered, index) for index in indexes]
        if not self._is_chunking:
            expected.append((ClientCore._data_answered, 0))
        self._state = State.ENVELOPE
        self._transactions += 1
        self._open, self._accepted = list(indexes), []
        self._mail_taken = self._final_sent = False
        self._framing = ChunkFraming() if self._is_chunking else DotFraming()
        if self._extensions.pipelining:
            self._expected.extend(expected)
            return b"".join(wires)
        self._unsent.extend(zip(wires, expected, strict=True))
        return self._send_next()

    def body(self, piece: Buffer) -> list[Buffer]:
        """What to send for the next piece of the message; nothing once the peer has refused it."""
        if self._state is not State.BODY:
            return []
        framed = self._framing.frame(piece)
        if framed and self._is_chunking:
            self._expected.append((ClientCore._chunk_answered, 0))
        return framed

    def end_of_body(self) -> bytes:
        """The final dot or the last chunk; nothing once the peer has refused the message."""
        if self._state is not State.BODY:
            return b""
        self._state = State.VERDICT
        self._final_sent = True
        indexes = self._accepted if self._is_lmtp else self._accepted[:1]
        self._expected.extend((ClientCore._message_answered, index) for index in indexes)
        return self._framing.end()

    def quit(self) -> bytes:
        """The end of a session that is in step.

        Raises:
            ProtocolViolation: it isn't; close the connection.
        """
        if self._state is not State.READY:
            self._require(State.GREETED)
        self._state = State.QUITTING
        self._expected.append((ClientCore._quitted, 0))
        return b"QUIT\r\n"

    @property
    def _is_chunking(self) -> bool:
        return self._may_chunk and self._extensions.chunking and self._extensions.pipelining

    def _envelope_commands(self, envelope: Envelope, indexes: Sequence[int], size_bytes: int) -> list[bytes]:
        peer = self._extensions
        words = [commands.mail_command(peer, envelope, indexes, size_bytes)]
        words += [commands.rcpt_command(peer, envelope.recipients[index]) for index in indexes]
        if not self._is_chunking:
            words.append("DATA\r\n")
        return commands.on_the_wire(words)

    def _require(self, state: State) -> None:
        if self._state is not state:
            raise ProtocolViolation(f"the session is {self._state.name}, not {state.name}")

    def _send_next(self) -> bytes:
        wire, expected = self._unsent.popleft()
        self._expected.append(expected)
        return wire

    def _dispatch(self, reply: Reply) -> None:
        if reply.code == 421:
            self._give_up(reply)
        elif self._expected:
            answered, index = self._expected.popleft()
            answered(self, reply, index)
        elif self._state is State.BODY and not reply.is_positive:
            self._give_up(reply)  # what of the message is still under way would be taken for commands
        else:
            raise ProtocolViolation(f"a reply that nothing called for: {reply}")

    def _greeted(self, reply: Reply, _: int) -> None:
        _is_done(reply)
        self._state = State.GREETED
        self._events.append(Greeted(reply))

    def _hello_answered(self, reply: Reply, _: int) -> None:
        if reply.is_permanent and not self._is_lmtp:
            self._expected.append((ClientCore._helo_answered, 0))
            self._events.append(CommandReady(f"HELO {self._hostname}\r\n".encode()))
        else:
            self._acquainted(reply, Extensions.parse(reply))

    def _helo_answered(self, reply: Reply, _: int) -> None:
        self._acquainted(reply, _NO_EXTENSIONS)

    def _acquainted(self, reply: Reply, extensions: Extensions) -> None:
        if _is_done(reply):
            self._state, self._extensions = State.READY, extensions
        else:
            self._state = State.GREETED
        self._events.append(HelloAnswered(reply, self._extensions))

    def _mail_answered(self, reply: Reply, _: int) -> None:
        self._mail_taken = _is_done(reply)
        self._events.append(MailAnswered(reply))
        if not self._mail_taken:
            self._open.clear()
            self._unsent.clear()
        self._go_on()

    def _rcpt_answered(self, reply: Reply, index: int) -> None:
        if self._mail_taken:
            if _is_done(reply):
                self._accepted.append(index)
            else:
                self._open.remove(index)
            self._events.append(RecipientAnswered(index, reply))
        self._go_on()

    def _go_on(self) -> None:
        """One command without its reply is enough to wait for; DATA is sent only if somebody is to have the message."""
        if self._expected:
            return
        if len(self._unsent) > 1 or (self._unsent and self._accepted):
            self._events.append(CommandReady(self._send_next()))
        elif self._accepted:
            self._want_body()
        else:
            self._unsent.clear()
            self._abandon()

    def _data_answered(self, reply: Reply, _: int) -> None:
        if 300 <= reply.code < 400:
            if self._accepted:
                self._want_body()
            else:
                self._send_nothing()
        elif _is_done(reply):
            raise ProtocolViolation(f"DATA was answered with {reply}")
        else:
            self._refused(reply)
            self._abandon()

    def _want_body(self) -> None:
        self._state = State.BODY
        self._events.append(BodyWanted())

    def _send_nothing(self) -> None:
        """A pipelined DATA was taken although no recipient was: RFC 2920 §3.1 wants an empty message."""
        if self._is_lmtp:  # which answers once for each of no recipients
            raise ProtocolViolation("DATA was taken without a recipient")
        self._state = State.VERDICT
        self._expected.append((ClientCore._void_answered, 0))
        self._events.append(CommandReady(b".\r\n"))

    def _void_answered(self, reply: Reply, _: int) -> None:
        self._ended()

    def _chunk_answered(self, reply: Reply, _: int) -> None:
        if not _is_done(reply):
            self._refused(reply)
            if self._state is State.BODY:
                self._state = State.VERDICT
        if self._state is State.VERDICT and not self._expected:
            self._abandon()

    def _message_answered(self, reply: Reply, index: int) -> None:
        _is_done(reply)
        if not self._open:  # a chunk was refused before
            self._abandon()
            return
        indexes = (index,) if self._is_lmtp else tuple(self._accepted)
        self._open = [other for other in self._open if other not in indexes]
        self._events.append(MessageAnswered(indexes, reply))
        if not self._open:
            self._ended()

    def _refused(self, reply: Reply) -> None:
        """The verdict on all that were accepted, unless they have one."""
        if self._open and self._accepted:
            self._events.append(MessageAnswered(tuple(self._accepted), reply))
        self._open.clear()

    def _abandon(self) -> None:
        if self._mail_taken:
            self._state = State.VERDICT
            self._expected.append((ClientCore._reset_answered, 0))
            self._events.append(CommandReady(b"RSET\r\n"))
        else:
            self._ended()

    def _reset_answered(self, reply: Reply, _: int) -> None:
        if not _is_done(reply):
            raise ProtocolViolation(f"RSET was answered with {reply}")
        self._ended()

    def _ended(self) -> None:
        self._state = State.READY
        self._events.append(TransactionEnded())

    def _quitted(self, reply: Reply, _: int) -> None:
        self._close(Quitted())

    def _give_up(self, reply: Reply) -> None:
        """Whoever waits for an answer has it: this one."""
        if self._state is State.GREETING:
            self._events.append(Greeted(reply))
        elif self._state is State.HELLO:
            self._events.append(HelloAnswered(reply, _NO_EXTENSIONS))
        elif self._open and not self._mail_taken:
            self._events.append(MailAnswered(reply))
        else:
            self._give_up_recipients(reply)
        if State.ENVELOPE <= self._state <= State.VERDICT:
            self._events.append(TransactionEnded())
        self._close(PeerClosing(reply))

    def _give_up_recipients(self, reply: Reply) -> None:
        accepted = set(self._accepted)
        for index in self._open:
            if index not in accepted:
                self._events.append(RecipientAnswered(index, reply))
        indexes = tuple(index for index in self._open if index in accepted)
        if indexes:
            self._events.append(MessageAnswered(indexes, reply))

    def _close(self, event: ClientEvent) -> None:
        if isinstance(event, PeerClosing):
            self._open.clear()
        self._state = State.CLOSED
        self._expected.clear()
        self._unsent.clear()
        self._events.append(event)


_Expected = tuple[Callable[[ClientCore, Reply, int], None], int]


def _is_done(reply: Reply) -> bool:
    """Whether the command was done (2yz), not refused. Raises: ProtocolViolation for 3yz, which calls for more."""
    if 300 <= reply.code < 400:
        raise ProtocolViolation(f"a reply that does not fit its command: {reply}")
    return reply.code < 300
