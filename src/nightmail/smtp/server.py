"""The server's side of an ESMTP or LMTP session, as a machine that never touches a socket.

The shell feeds it what the client sends and does what the events say:

    write(core.greeting())
    for event in core.receive(data): ...

After an event that asks (see `events`) the core stands still: the shell finds an answer, writes `core.answer(reply)`
and goes on with `core.receive(b"")`, since the client may have sent its next commands already. Meanwhile the shell
should stop reading: what it hands over all the same is kept, up to INPUT_LIMIT_BYTES.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from nightmail.errors import ProtocolViolation
from nightmail.mail.reply import Reply
from nightmail.smtp import extensions, grammar, replies
from nightmail.smtp.events import (
    BodyEnded,
    BodyReceived,
    BodyRefused,
    CloseRequested,
    DataRequested,
    Event,
    HelloReceived,
    QuitReceived,
    ReplyReady,
    TransactionReset,
)
from nightmail.smtp.incoming import End, Incoming
from nightmail.smtp.intake import Intake, LineFault
from nightmail.smtp.sequence import REFUSALS, State
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
        self._settings = settings
        self._hostname = hostname
        self._is_lmtp = service == "lmtp"
        self._intake = Intake(settings.command_length_bytes, bare_newlines_allowed=bare_newlines_allowed)
        self._state = State.FRESH
        self._incoming = Incoming(settings, bare_newlines_allowed=bare_newlines_allowed)
        self._state = State.FRESH
        self._events: list[Event] = []
        self._answered: Callable[[ServerCore, Reply], bytes] | None = None
        self._parting: bytes | None = None
        self._errors = 0
        self._hello_kind = ""
        self._smtputf8 = False
        self._recipients = 0
        self._chunk = (0, False)

    @property
    def is_waiting(self) -> bool:
        """Whether the core stands still until it is given an answer; the shell should not read meanwhile."""
        return self._answered is not None

    @property
    def is_closed(self) -> bool:
        """Whether the session is over."""
        return self._state is State.CLOSED

    @property
    def in_transaction(self) -> bool:
        """Whether a sender was accepted and its message is neither answered nor given up."""
        return State.SENDER <= self._state <= State.FAILED

    @property
    def buffered_bytes(self) -> int:
        """How much input is kept for later."""
        return len(self._intake)

    def greeting(self) -> bytes:
        """The first line, which the server speaks unasked."""
        return replies.encode(Reply(220, "", f"{self._hostname} {'LMTP' if self._is_lmtp else 'ESMTP'} nightmail"))

    def receive(self, data: bytes) -> list[Event]:
        """Everything that `data` brings about, in order; `b""` goes on with what is there already.

        Raises:
            ProtocolViolation: more than INPUT_LIMIT_BYTES came while an answer was awaited; carries the reply.
        """
        if data:
            if self._answered is not None and len(self._intake) + len(data) > INPUT_LIMIT_BYTES:
                raise ProtocolViolation("too much input ahead of an answer", replies.OUT_OF_STEP)
            self._intake.add(data)
        events: list[Event] = []
        self._events = events
        while self._answered is None and self._step():
            pass
        return events

    def answer(self, reply: Reply) -> bytes:
        """What to send for `reply`, the answer to the last event that asked; nothing if BDAT may go on.

        A positive answer to a hello is worded by the core. With LMTP the one to BodyEnded goes out once for each
        recipient. After a 421 the next event is CloseRequested.

        Raises:
            ProtocolViolation: nothing asked.
        """
        answered, self._answered = self._answered, None
        if answered is None:
            raise ProtocolViolation("an answer that nothing asked for")
        if reply.code == 421:
            self._parting = b""
        return answered(self, reply)

    def answer_each(self, each: Sequence[Reply]) -> bytes:
        """What to send for an LMTP message with an answer of its own for each accepted recipient (RFC 2033 §4.2).

        Raises:
            ProtocolViolation: no message awaits its answer, or there is not one answer for each recipient.
        """
        if self._answered is not ServerCore._message_answered or len(each) != self._recipients or not self._is_lmtp:
            raise ProtocolViolation(f"{len(each)} answers for {self._recipients} recipients")
        self._answered = None
        self._forget_transaction()
        if any(reply.is_positive for reply in each):
            self._errors = 0
        return b"".join(map(replies.encode, each))

    def close(self, reply: Reply) -> bytes:
        """What to send when the shell ends the session, such as 421 4.4.2 to a silent client."""
        self._end()
        return replies.encode(reply)

    def _step(self) -> bool:
        """Take one thing out of the input. False: there is nothing whole in it."""
        if self._parting is not None:
            if self._state is not State.CLOSED:
                self._events.append(CloseRequested(self._parting))
                self._end()
            return False
        if self._incoming.is_reading:
            return self._read_body()
        line = self._intake.line()
        if line is None:
            return False
        if isinstance(line, LineFault):
            self._line_failed(line)
        else:
            self._obey(line)
        return True

    def _end(self) -> None:
        self._state = State.CLOSED
        self._parting = b""
        self._answered = None
        self._incoming.forget()
        self._intake.take()

    def _refuse(self, reply: Reply) -> None:
        self._say(reply)
        self._count_error(reply)

    def _count_error(self, reply: Reply) -> None:
        """Only what is the client's fault counts: a full store or a long recipient list is not."""
        if reply.is_permanent:
            self._errors += 1
            if self._errors >= self._settings.error_limit and self._parting is None:
                self._parting = replies.encode(replies.TOO_MANY_ERRORS)

    def _line_failed(self, fault: LineFault) -> None:
        if fault is LineFault.BARE_NEWLINE:
            self._refuse(replies.BARE_NEWLINE_COMMAND)
            self._parting = replies.encode(replies.OUT_OF_STEP)
        elif fault is LineFault.TOO_LONG:
            self._refuse(replies.LINE_TOO_LONG)
        else:
            self._count_error(replies.LINE_TOO_LONG)

    def _obey(self, line: bytes) -> None:
        text = line.decode("utf-8", "surrogateescape")
        verb, _, argument = text.partition(" ")
        try:
            self._command(verb.upper(), text.isprintable())(self, argument)
        except ProtocolViolation as violation:
            self._refuse(violation.reply or replies.UNKNOWN_COMMAND)

    def _command(self, verb: str, is_printable: bool) -> Callable[[ServerCore, str], None]:
        if not is_printable:
            raise ProtocolViolation("control characters or broken UTF-8", replies.NOT_TEXT)
        refusal = REFUSALS[self._state].get(verb)
        if refusal is not None and verb != "BDAT":  # which is refused only once its chunk is known
            raise ProtocolViolation(f"{verb} out of place", refusal)
        return _COMMANDS.get(verb, ServerCore._unknown)

    def _ask(self, event: Event, answered: Callable[[ServerCore, Reply], bytes]) -> None:
        self._events.append(event)
        self._answered = answered

    def _ehlo(self, argument: str) -> None:
        self._hello("EHLO", argument)

    def _helo(self, argument: str) -> None:
        self._hello("HELO", argument)

    def _lhlo(self, argument: str) -> None:
        self._hello("LHLO", argument)

    def _hello(self, kind: Literal["EHLO", "HELO", "LHLO"], argument: str) -> None:
        if self._is_lmtp is not (kind == "LHLO"):  # RFC 2033 §4.1
            raise ProtocolViolation(f"{kind} does not fit the service", replies.WRONG_HELLO)
        name = grammar.parse_hello(argument)
        self._give_up_transaction()
        self._hello_kind = kind
        self._ask(HelloReceived(kind, name), ServerCore._hello_answered)

    def _hello_answered(self, reply: Reply) -> bytes:
        if not reply.is_positive:
            self._count_error(reply)
            return replies.encode(reply)
        self._state = State.IDLE
        if self._hello_kind == "HELO":
            return replies.encode(Reply(250, "", self._hostname))
        return replies.encode(Reply(250, "", "\n".join((self._hostname, *extensions.announced(self._settings)))))

    def _mail(self, argument: str) -> None:
        mail = grammar.parse_mail(argument)
        if mail.size_bytes is not None and mail.size_bytes > self._settings.message_size_limit_bytes:
            raise ProtocolViolation("declared too big", replies.TOO_BIG)
        self._smtputf8 = mail.smtputf8
        self._ask(mail, ServerCore._mail_answered)

    def _mail_answered(self, reply: Reply) -> bytes:
        if reply.is_positive:
            self._state = State.SENDER
        else:
            self._count_error(reply)
        return replies.encode(reply)

    def _rcpt(self, argument: str) -> None:
        rcpt = grammar.parse_rcpt(argument, self._smtputf8)
        if self._recipients >= self._settings.recipient_limit:
            raise ProtocolViolation("one recipient too many", replies.TOO_MANY_RECIPIENTS)
        self._ask(rcpt, ServerCore._rcpt_answered)

    def _rcpt_answered(self, reply: Reply) -> bytes:
        if reply.is_positive:
            self._state = State.RECIPIENTS
            self._recipients += 1
        else:
            self._count_error(reply)
        return replies.encode(reply)

    def _data(self, argument: str) -> None:
        self._without(argument)
        self._ask(DataRequested(), ServerCore._data_answered)

    def _data_answered(self, reply: Reply) -> bytes:
        if reply.is_positive:
            self._state = State.TEXT
            self._incoming.begin_text()
            return _START_INPUT
        self._count_error(reply)
        return replies.encode(reply)

    def _bdat(self, argument: str) -> None:
        try:
            self._chunk = size_bytes, is_last = grammar.parse_chunk(argument)
        except ProtocolViolation:
            self._parting = replies.encode(replies.OUT_OF_STEP)  # what follows may be a chunk or a command
            raise
        refusal = REFUSALS[self._state].get("BDAT")
        if refusal is not None:
            self._events.append(ReplyReady(self._refuse_chunk(refusal)))
        elif self._state is State.CHUNKS:
            self._incoming.begin_chunk(size_bytes, is_last=is_last)
        else:
            self._ask(DataRequested(chunked=True), ServerCore._chunks_answered)

    def _chunks_answered(self, reply: Reply) -> bytes:
        if not reply.is_positive:
            return self._refuse_chunk(reply)
        self._state = State.CHUNKS
        size_bytes, is_last = self._chunk
        self._incoming.begin_chunk(size_bytes, is_last=is_last)
        return b""

    def _refuse_chunk(self, reply: Reply) -> bytes:
        """Its octets come all the same; the transaction is lost, and its BDAT LAST, if this is it, ends it."""
        size_bytes, is_last = self._chunk
        wire = self._once_or_each(reply) if is_last else replies.encode(reply)
        self._count_error(reply)
        if is_last:
            self._forget_transaction()
        elif self.in_transaction:
            self._state = State.FAILED
        self._incoming.pass_over(size_bytes)
        return wire

    def _read_body(self) -> bool:
        piece, end = self._incoming.read(self._intake)
        if piece:
            self._events.append(BodyReceived(piece))
        if end is End.MESSAGE:
            self._message_ended()
        elif end is End.CHUNK:
            self._chunk_ended()
        return end is not None

    def _message_ended(self) -> None:
        message = self._incoming.message
        if message.refusal is None:
            ended = BodyEnded(message.size_bytes, message.received_count, message.eight_bit, message.utf8_headers)
            self._ask(ended, ServerCore._message_answered)
        else:
            self._events.append(BodyRefused(message.refusal, self._once_or_each(message.refusal)))
            self._count_error(message.refusal)
            self._forget_transaction()

    def _chunk_ended(self) -> None:
        refusal = self._incoming.message.refusal
        if refusal is None:
            self._events.append(ReplyReady(replies.encode(Reply(250, "2.0.0", f"{self._chunk[0]} octets received"))))
        else:
            self._events.append(BodyRefused(refusal, replies.encode(refusal)))
            self._count_error(refusal)
            self._incoming.forget()
            self._state = State.FAILED

    def _message_answered(self, reply: Reply) -> bytes:
        wire = self._once_or_each(reply)
        self._forget_transaction()
        if reply.is_positive:
            self._errors = 0
        return wire

    def _once_or_each(self, reply: Reply) -> bytes:
        return replies.encode(reply) * (max(1, self._recipients) if self._is_lmtp else 1)

    def _rset(self, argument: str) -> None:
        self._without(argument)
        self._give_up_transaction()
        self._say(replies.OK)

    def _quit(self, argument: str) -> None:
        self._without(argument)
        self._events.append(QuitReceived(replies.encode(replies.GOODBYE)))
        self._end()

    def _noop(self, argument: str) -> None:
        self._say(replies.OK)

    def _help(self, argument: str) -> None:
        self._say(replies.HELP)

    def _vrfy(self, argument: str) -> None:
        if not argument.strip():
            raise ProtocolViolation("VRFY of nothing", replies.ARGUMENT_MISSING)
        self._say(replies.CANNOT_VERIFY)

    def _not_implemented(self, argument: str) -> None:
        self._refuse(replies.NOT_IMPLEMENTED)

    def _unknown(self, argument: str) -> None:
        self._refuse(replies.UNKNOWN_COMMAND)

    def _not_smtp(self, argument: str) -> None:
        """A browser or a proxy was made to talk to us: the lines that follow are not to be obeyed."""
        self._refuse(replies.NOT_SMTP)
        self._parting = replies.encode(replies.OUT_OF_STEP)

    def _say(self, reply: Reply) -> None:
        self._events.append(ReplyReady(replies.encode(reply)))

    def _without(self, argument: str) -> None:
        if argument.strip(" "):
            raise ProtocolViolation("an argument where none belongs", replies.NO_ARGUMENT)

    def _give_up_transaction(self) -> None:
        if self.in_transaction:
            self._events.append(TransactionReset())
            self._forget_transaction()

    def _forget_transaction(self) -> None:
        if self._state is not State.FRESH:
            self._state = State.IDLE
        self._recipients = 0
        self._smtputf8 = False
        self._incoming.forget()


_START_INPUT = replies.encode(replies.START_INPUT)

_COMMANDS: dict[str, Callable[[ServerCore, str], None]] = {
    "EHLO": ServerCore._ehlo,
    "HELO": ServerCore._helo,
    "LHLO": ServerCore._lhlo,
    "MAIL": ServerCore._mail,
    "RCPT": ServerCore._rcpt,
    "DATA": ServerCore._data,
    "BDAT": ServerCore._bdat,
    "RSET": ServerCore._rset,
    "QUIT": ServerCore._quit,
    "NOOP": ServerCore._noop,
    "HELP": ServerCore._help,
    "VRFY": ServerCore._vrfy,
    **dict.fromkeys(("EXPN", "STARTTLS", "AUTH", "TURN", "ETRN"), ServerCore._not_implemented),
    **dict.fromkeys(("GET", "HEAD", "POST", "PUT", "OPTIONS", "CONNECT"), ServerCore._not_smtp),
}
