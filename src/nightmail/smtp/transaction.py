"""One message on its way to a server: MAIL, RCPT, the body, and who was given which verdict.

    ENVELOPE ──354 or, with BDAT, a recipient taken──▶ BODY ──end_of_body()──▶ VERDICT ──▶ OVER
        └── nobody taken, or DATA refused: RSET ──────────────────────────────▶ VERDICT

Whatever is sent puts the replies that it calls for at the end of a queue; each reply that comes in is handed to the
first of that queue. So pipelining (RFC 2920) is no special case: without it only the next command waits for the last
one's reply.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import IntEnum

from nightmail.errors import ProtocolViolation
from nightmail.mail.reply import Reply
from nightmail.smtp.client_events import (
    BodyWanted,
    ClientEvent,
    CommandReady,
    MailAnswered,
    MessageAnswered,
    RecipientAnswered,
    TransactionEnded,
)
from nightmail.smtp.framing import Buffer, ChunkFraming, DotFraming


class Phase(IntEnum):
    """How far the transaction is."""

    ENVELOPE = 0
    BODY = 1
    VERDICT = 2
    OVER = 3


class Transaction:
    """Its owner sends `start()`, tells each reply to `receive`, and sends what `body` and `end_of_body` return.

    `wires` are MAIL, a RCPT for each of `indexes` and, unless the body goes by BDAT, DATA.
    """

    def __init__(
        self, wires: list[bytes], indexes: Sequence[int], *, is_lmtp: bool, is_pipelining: bool, is_chunking: bool
    ) -> None:
        replies: list[_Expected] = [(Transaction._mail_answered, 0)]
        replies += [(Transaction._rcpt_answered, index) for index in indexes]
        if not is_chunking:
            replies.append((Transaction._data_answered, 0))
        self.phase = Phase.ENVELOPE
        self.final_sent = False
        self._is_lmtp = is_lmtp
        self._is_chunking = is_chunking
        self._wires = wires
        self._expected: deque[_Expected] = deque(replies if is_pipelining else ())
        self._unsent: deque[tuple[bytes, _Expected]] = deque(() if is_pipelining else zip(wires, replies, strict=True))
        self._open = list(indexes)
        self._accepted: list[int] = []
        self._mail_taken = False
        self._framing: DotFraming | ChunkFraming = ChunkFraming() if is_chunking else DotFraming()

    @property
    def unanswered(self) -> tuple[int, ...]:
        """The recipients that have no verdict yet."""
        return tuple(self._open)

    @property
    def due(self) -> int:
        """How many replies are called for by what was sent."""
        return len(self._expected)

    def start(self) -> bytes:
        """The commands to begin with: all of them if the peer can pipeline, else the first."""
        return self._send_next() if self._unsent else b"".join(self._wires)

    def receive(self, reply: Reply) -> list[ClientEvent]:
        """What the reply to the first unanswered command brings about.

        Raises:
            ProtocolViolation: it can't be the reply to that command.
        """
        answered, index = self._expected.popleft()
        return answered(self, reply, index)

    def give_up(self, reply: Reply) -> list[ClientEvent]:
        """The peer says that it will say no more: this is everybody's answer who waits for one."""
        events: list[ClientEvent] = []
        if self._open and not self._mail_taken:
            events.append(MailAnswered(reply))
        else:
            accepted = set(self._accepted)
            events += [RecipientAnswered(index, reply) for index in self._open if index not in accepted]
            self._accepted = [index for index in self._open if index in accepted]
            events += self._refuse(reply)
        self._open.clear()
        return events + self._over()

    def body(self, piece: Buffer) -> list[Buffer]:
        """What to send for the next piece of the message; nothing once the peer has refused it."""
        if self.phase is not Phase.BODY:
            return []
        framed = self._framing.frame(piece)
        if framed and self._is_chunking:
            self._expected.append((Transaction._chunk_answered, 0))
        return framed

    def end_of_body(self) -> bytes:
        """The final dot or the last chunk; nothing once the peer has refused the message."""
        if self.phase is not Phase.BODY:
            return b""
        self.phase = Phase.VERDICT
        self.final_sent = True
        indexes = self._accepted if self._is_lmtp else self._accepted[:1]
        self._expected.extend((Transaction._message_answered, index) for index in indexes)
        return self._framing.end()

    def _send_next(self) -> bytes:
        wire, expected = self._unsent.popleft()
        self._expected.append(expected)
        return wire

    def _mail_answered(self, reply: Reply, _: int) -> list[ClientEvent]:
        self._mail_taken = is_done(reply)
        if not self._mail_taken:
            self._open.clear()
            self._unsent.clear()
        return [MailAnswered(reply), *self._go_on()]

    def _rcpt_answered(self, reply: Reply, index: int) -> list[ClientEvent]:
        if not self._mail_taken:
            return self._go_on()
        if is_done(reply):
            self._accepted.append(index)
        else:
            self._open.remove(index)
        return [RecipientAnswered(index, reply), *self._go_on()]

    def _go_on(self) -> list[ClientEvent]:
        """One command without its reply is enough to wait for; DATA is sent only if somebody is to have the message."""
        if self._expected:
            return []
        if len(self._unsent) > 1 or (self._unsent and self._accepted):
            return [CommandReady(self._send_next())]
        if self._accepted:
            return self._want_body()
        self._unsent.clear()
        return self._reset()

    def _data_answered(self, reply: Reply, _: int) -> list[ClientEvent]:
        if 300 <= reply.code < 400:
            return self._want_body() if self._accepted else self._send_nothing()
        if is_done(reply):
            raise ProtocolViolation(f"DATA was answered with {reply}")
        return self._refuse(reply) + self._reset()

    def _want_body(self) -> list[ClientEvent]:
        self.phase = Phase.BODY
        return [BodyWanted()]

    def _send_nothing(self) -> list[ClientEvent]:
        """A pipelined DATA was taken although no recipient was: RFC 2920 §3.1 wants an empty message."""
        if self._is_lmtp:  # which answers once for each of no recipients
            raise ProtocolViolation("DATA was taken without a recipient")
        self.phase = Phase.VERDICT
        self._expected.append((Transaction._nothing_answered, 0))
        return [CommandReady(b".\r\n")]

    def _nothing_answered(self, reply: Reply, _: int) -> list[ClientEvent]:
        return self._over()

    def _chunk_answered(self, reply: Reply, _: int) -> list[ClientEvent]:
        events: list[ClientEvent] = []
        if not is_done(reply):
            events = self._refuse(reply)
            self.phase = Phase.VERDICT
        if not self._open and not self._expected:
            events += self._reset()
        return events

    def _message_answered(self, reply: Reply, index: int) -> list[ClientEvent]:
        is_done(reply)
        if not self._open:  # a chunk was refused before
            return self._reset()
        if not self._is_lmtp:
            self._open.clear()
            return [MessageAnswered(tuple(self._accepted), reply), *self._over()]
        self._open.remove(index)
        return [MessageAnswered((index,), reply), *(() if self._open else self._over())]

    def _refuse(self, reply: Reply) -> list[ClientEvent]:
        """The verdict on all that were accepted and have none."""
        is_open, self._open = bool(self._open), []
        return [MessageAnswered(tuple(self._accepted), reply)] if is_open and self._accepted else []

    def _reset(self) -> list[ClientEvent]:
        if not self._mail_taken:
            return self._over()
        self.phase = Phase.VERDICT
        self._expected.append((Transaction._reset_answered, 0))
        return [CommandReady(b"RSET\r\n")]

    def _reset_answered(self, reply: Reply, _: int) -> list[ClientEvent]:
        if not is_done(reply):
            raise ProtocolViolation(f"RSET was answered with {reply}")
        return self._over()

    def _over(self) -> list[ClientEvent]:
        self.phase = Phase.OVER
        return [TransactionEnded()]


_Expected = tuple[Callable[[Transaction, Reply, int], list[ClientEvent]], int]


def is_done(reply: Reply) -> bool:
    """Whether the command was done (2yz), not refused.

    Raises:
        ProtocolViolation: 3yz, which fits DATA only.
    """
    if 300 <= reply.code < 400:
        raise ProtocolViolation(f"a reply that does not fit its command: {reply}")
    return reply.code < 300
