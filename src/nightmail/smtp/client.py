"""The client's side of an ESMTP or LMTP session, as a machine that never touches a socket.

    GREETING ──220──▶ GREETED ──hello()──▶ HELLO ──250──▶ READY ──quit()──▶ QUITTING ──▶ CLOSED
                                                          │   ▲
                                                     begin()  TransactionEnded
                                                          ▼   │
                                                       TRANSACTION (see `transaction`)

The shell writes what `hello`, `begin`, `body`, `end_of_body` and `quit` return and every CommandReady, and closes after
Quitted, PeerClosing and ProtocolBroken: the core is CLOSED then. A reply that nothing called for is 421, a refusal in
the middle of a message, or the end of all trust: above all, no 250 ahead of the final dot is ever taken for its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from nightmail.errors import ProtocolViolation
from nightmail.mail.envelope import Envelope
from nightmail.mail.reply import Reply
from nightmail.smtp import commands
from nightmail.smtp.client_events import (
    ClientEvent,
    CommandReady,
    Greeted,
    HelloAnswered,
    PeerClosing,
    ProtocolBroken,
    Quitted,
)
from nightmail.smtp.extensions import Extensions
from nightmail.smtp.framing import Buffer
from nightmail.smtp.reply_reader import ReplyReader
from nightmail.smtp.transaction import Phase, Transaction, is_done


class State(IntEnum):
    """Where a session stands."""

    GREETING = 0
    GREETED = 1
    HELLO = 2
    READY = 3
    TRANSACTION = 4
    QUITTING = 5
    CLOSED = 6


_NO_EXTENSIONS = Extensions()
_WAITS_FOR_ONE = frozenset((State.GREETING, State.HELLO, State.QUITTING))


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
        self._said_ehlo = False
        self._extensions = _NO_EXTENSIONS
        self._transaction: Transaction | None = None
        self._transactions = 0

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
        """Whether the message may be sent now; this ends early when the peer refuses amid BDAT chunks."""
        return self._transaction is not None and self._transaction.phase is Phase.BODY and not self.is_closed

    @property
    def unanswered(self) -> tuple[int, ...]:
        """The recipients that have no verdict yet. If the connection is lost now, they have none."""
        return self._transaction.unanswered if self._transaction is not None else ()

    @property
    def final_sent(self) -> bool:
        """Whether the final dot or the last chunk was given out: the lack of a verdict is ambiguous from then on."""
        return self._transaction is not None and self._transaction.final_sent

    @property
    def buffered_bytes(self) -> int:
        """How much of an unfinished reply is kept."""
        return self._reader.buffered_bytes

    def receive(self, data: bytes) -> list[ClientEvent]:
        """Everything that `data` brings about, in order. Never raises: nonsense is a ProtocolBroken."""
        events: list[ClientEvent] = []
        if self.is_closed:
            return events
        self._reader.add(data)
        due = self._due()  # a reply can't answer what is only sent because of the replies before it
        try:
            while self._state is not State.CLOSED and (reply := self._reader.next()) is not None:
                events += self._heard(reply, is_due=due > 0)
                due -= 1
        except ProtocolViolation as violation:
            self._state = State.CLOSED
            events.append(ProtocolBroken(str(violation)))
        return events

    def hello(self) -> bytes:
        """Our name; if the peer does not know EHLO, HELO follows by itself (RFC 5321 §3.2)."""
        self._require(State.GREETED)
        self._state = State.HELLO
        self._said_ehlo = not self._is_lmtp
        return f"{'LHLO' if self._is_lmtp else 'EHLO'} {self._hostname}\r\n".encode()

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
        peer = self._extensions
        is_chunking = self._may_chunk and peer.chunking and peer.pipelining
        words = [commands.mail_command(peer, envelope, indexes, size_bytes)]
        words += [commands.rcpt_command(peer, envelope.recipients[index]) for index in indexes]
        if not is_chunking:
            words.append("DATA\r\n")
        self._transaction = Transaction(
            commands.on_the_wire(words),
            indexes,
            is_lmtp=self._is_lmtp,
            is_pipelining=peer.pipelining,
            is_chunking=is_chunking,
        )
        self._transactions += 1
        self._state = State.TRANSACTION
        return self._transaction.start()

    def body(self, piece: Buffer) -> list[Buffer]:
        """What to send for the next piece of the message, in its CRLF form; nothing once the peer has refused it."""
        return self._transaction.body(piece) if self._transaction is not None and not self.is_closed else []

    def end_of_body(self) -> bytes:
        """The final dot or the last chunk; nothing once the peer has refused the message."""
        return self._transaction.end_of_body() if self._transaction is not None and not self.is_closed else b""

    def quit(self) -> bytes:
        """The end of a session that is in step.

        Raises:
            ProtocolViolation: it isn't; close the connection.
        """
        if self._state is not State.READY:
            self._require(State.GREETED)
        self._state = State.QUITTING
        return b"QUIT\r\n"

    def _require(self, state: State) -> None:
        if self._state is not state:
            raise ProtocolViolation(f"the session is {self._state.name}, not {state.name}")

    def _due(self) -> int:
        if self._state is State.TRANSACTION and self._transaction is not None:
            return self._transaction.due
        return self._state in _WAITS_FOR_ONE

    def _heard(self, reply: Reply, *, is_due: bool) -> list[ClientEvent]:
        if reply.code == 421:
            return self._given_up(reply)
        if is_due:
            if self._transaction is not None and self._state is State.TRANSACTION:
                return self._transaction_heard(self._transaction, reply)
            return [self._session_heard(reply)]
        if self.wants_body and not reply.is_positive:
            return self._given_up(reply)  # what of the message is still under way would be taken for commands
        raise ProtocolViolation(f"a reply that nothing called for: {reply}")

    def _transaction_heard(self, transaction: Transaction, reply: Reply) -> list[ClientEvent]:
        events = transaction.receive(reply)
        if transaction.phase is Phase.OVER:
            self._state = State.READY
        return events

    def _session_heard(self, reply: Reply) -> ClientEvent:
        if self._state is State.QUITTING:
            self._state = State.CLOSED
            return Quitted()
        is_positive = is_done(reply)
        if self._state is State.GREETING:
            self._state = State.GREETED
            return Greeted(reply)
        if is_positive:
            self._extensions = Extensions.parse(reply) if self._said_ehlo or self._is_lmtp else _NO_EXTENSIONS
        elif self._said_ehlo and reply.is_permanent:
            self._said_ehlo = False
            return CommandReady(f"HELO {self._hostname}\r\n".encode())
        self._state = State.READY if is_positive else State.GREETED
        return HelloAnswered(reply, self._extensions)

    def _given_up(self, reply: Reply) -> list[ClientEvent]:
        """Whoever waits for an answer has it: this one."""
        events: list[ClientEvent] = []
        if self._state is State.GREETING:
            events.append(Greeted(reply))
        elif self._state is State.HELLO:
            events.append(HelloAnswered(reply, self._extensions))
        elif self._state is State.TRANSACTION and self._transaction is not None:
            events += self._transaction.give_up(reply)
        self._state = State.CLOSED
        return [*events, PeerClosing(reply)]
