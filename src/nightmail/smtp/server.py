"""The server's side of an ESMTP or LMTP session, as a machine that never touches a socket.

The shell feeds it what the client sends and does what the events say:

    write(core.greeting())
    for event in core.receive(data): ...

After an event that asks (see `events`) the core stands still: the shell finds an answer, writes `core.answer(reply)`
and goes on with `core.receive(b"")`, since the client may have sent its next commands already. Meanwhile the shell
should stop reading: what it hands over all the same is kept, up to INPUT_LIMIT_BYTES.
"""

from __future__ import annotations

from typing import Literal

from nightmail.errors import ProtocolViolation
from nightmail.mail.reply import Reply
from nightmail.smtp import replies
from nightmail.smtp.dialogue import Dialogue
from nightmail.smtp.events import BodyReceived, Event
from nightmail.smtp.incoming import Incoming
from nightmail.smtp.intake import Intake, LineFault
from nightmail.smtp.sequence import State
from nightmail.smtp.settings import SmtpSettings

INPUT_LIMIT_BYTES = 1024 * 1024
"""The most that a core keeps of input it was given while it waited for an answer."""

Service = Literal["smtp", "submission", "lmtp"]


class ServerCore:
    """One session with a client.

    `bare_newlines_allowed` mends the line endings of a client that can't be taught (settings: `bare_newlines_from`);
    even then a message ends at <CRLF>.<CRLF> only.
    """

    def __init__(
        self, settings: SmtpSettings, hostname: str, service: Service, *, bare_newlines_allowed: bool = False
    ) -> None:
        self._intake = Intake(settings.command_length_bytes, bare_newlines_allowed=bare_newlines_allowed)
        self._incoming = Incoming(settings, bare_newlines_allowed=bare_newlines_allowed)
        self._dialogue = Dialogue(settings, hostname, self._incoming, is_lmtp=service == "lmtp")

    @property
    def is_waiting(self) -> bool:
        """Whether the core stands still until it is given an answer; the shell should not read meanwhile."""
        return self._dialogue.is_waiting

    @property
    def is_closed(self) -> bool:
        """Whether the session is over."""
        return self._dialogue.state is State.CLOSED

    @property
    def has_more(self) -> bool:
        """Whether `receive(b"")` may bring something about."""
        return len(self._intake) > 0 or self._incoming.is_reading or self._dialogue.parting is not None

    @property
    def in_transaction(self) -> bool:
        """Whether a sender was accepted and its message is neither answered nor given up."""
        return self._dialogue.in_transaction

    @property
    def buffered_bytes(self) -> int:
        """How much input is kept for later."""
        return len(self._intake)

    def greeting(self) -> bytes:
        """The first line, which the server speaks unasked."""
        return self._dialogue.greet()

    def receive(self, data: bytes) -> list[Event]:
        """Everything that `data` brings about, in order; `b""` goes on with what is there already.

        Raises:
            ProtocolViolation: more than INPUT_LIMIT_BYTES came while an answer was awaited; carries the reply.
        """
        dialogue = self._dialogue
        if data:
            if dialogue.is_waiting and len(self._intake) + len(data) > INPUT_LIMIT_BYTES:
                raise ProtocolViolation("too much input ahead of an answer", replies.OUT_OF_STEP)
            self._intake.add(data)
        events: list[Event] = []
        dialogue.events = events
        while not dialogue.is_waiting and self._step(dialogue):
            pass
        return events

    def answer(self, reply: Reply) -> bytes:
        """What to send for `reply`, the answer to the last event that asked; nothing if BDAT may go on.

        A positive answer to a hello or to DataRequested is worded by the core. With LMTP the one to BodyEnded goes
        out once for each recipient. After a 421 the next event is CloseRequested.

        Raises:
            ProtocolViolation: nothing asked.
        """
        return self._dialogue.answer(reply)

    def close(self, reply: Reply) -> bytes:
        """What to send when the shell ends the session, such as 421 4.4.2 to a silent client."""
        self._dialogue.end()
        self._intake.take()
        return reply.encode()

    def _step(self, dialogue: Dialogue) -> bool:
        """Take one thing out of the input. False: there is nothing whole in it."""
        if dialogue.parting is not None:
            dialogue.part()
            self._intake.take()
            return False
        if self._incoming.is_reading:
            return self._read_body(dialogue)
        line = self._intake.line()
        if line is None:
            return False
        if isinstance(line, LineFault):
            dialogue.line_failed(line)
        else:
            dialogue.obey(line)
        return True

    def _read_body(self, dialogue: Dialogue) -> bool:
        piece, end = self._incoming.read(self._intake)
        if piece:
            dialogue.events.append(BodyReceived(piece))
        if end is None:
            return False
        dialogue.body_ended(end)
        return True
