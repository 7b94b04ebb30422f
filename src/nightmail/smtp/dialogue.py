"""What each command means: the conversation of a server with one client, line by line.

`ServerCore` cuts the client's bytes into lines and bodies and hands them over here; what is to be told goes into
`events`. An event that asks leaves a function behind that will turn the answer into the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from nightmail.errors import ProtocolViolation
from nightmail.mail.reply import Reply
from nightmail.smtp import extensions, grammar, replies
from nightmail.smtp.events import (
    BodyEnded,
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
from nightmail.smtp.intake import LineFault
from nightmail.smtp.sequence import REFUSALS, State
from nightmail.smtp.settings import SmtpSettings


class Dialogue:
    """Owns the state of the session: its sequence, its transaction, its errors.

    `parting` is set once the session is to be closed, to the words that are still to be said. `is_waiting` tells
    whether an event asked and was not answered yet.
    """

    def __init__(self, settings: SmtpSettings, hostname: str, incoming: Incoming, *, is_lmtp: bool) -> None:
        self.state = State.FRESH
        self.events: list[Event] = []
        self.parting: bytes | None = None
        self.is_waiting = False
        self._settings = settings
        self._hostname = hostname
        self._incoming = incoming
        self._is_lmtp = is_lmtp
        self._answered: Callable[[Dialogue, Reply], bytes] = _nothing_asked
        self._errors = 0
        self._hello_kind = ""
        self._smtputf8 = False
        self._recipients = 0
        self._chunk = (0, False)

    @property
    def in_transaction(self) -> bool:
        """Whether a sender was accepted and its message is neither answered nor given up."""
        return State.SENDER <= self.state <= State.FAILED

    def greet(self) -> bytes:
        """The server's first words."""
        return Reply(220, "", f"{self._hostname} {'LMTP' if self._is_lmtp else 'ESMTP'} nightmail").encode()

    def answer(self, reply: Reply) -> bytes:
        """What to send for `reply`, the answer to the last event that asked; nothing if BDAT may go on.

        A positive answer to a hello is worded by the core. With LMTP the one to BodyEnded goes out once for each
        recipient. After a 421 the next event is CloseRequested.

        Raises:
            ProtocolViolation: nothing asked.
        """
        if not self.is_waiting:
            raise ProtocolViolation("an answer that nothing asked for")
        self.is_waiting = False
        if reply.code == 421:
            self.parting = b""
        return self._answered(self, reply)

    def part(self) -> None:
        """Close, as was decided."""
        if self.state is not State.CLOSED:
            self.events.append(CloseRequested(self.parting or b""))
            self.end()

    def end(self) -> None:
        """Nothing more is said or heard."""
        self.state = State.CLOSED
        self.parting = b""
        self.is_waiting = False
        self._incoming.forget()

    def _refuse(self, reply: Reply) -> None:
        self._say(reply)
        self._count_error(reply)

    def _count_error(self, reply: Reply) -> None:
        """Only what is the client's fault counts: a full store or a long recipient list is not."""
        if reply.is_permanent:
            self._errors += 1
            if self._errors >= self._settings.error_limit and self.parting is None:
                self.parting = replies.TOO_MANY_ERRORS.encode()

    def line_failed(self, fault: LineFault) -> None:
        """What came is no command line."""
        if fault is LineFault.ENDLESS:
            self.parting = replies.OUT_OF_STEP.encode()
        elif fault is LineFault.TOO_LONG:
            self._refuse(replies.LINE_TOO_LONG)
        else:  # what follows may be what somebody injected into the line
            self._refuse(replies.BARE_NEWLINE_COMMAND)
            self.parting = replies.OUT_OF_STEP.encode()

    def obey(self, line: bytes) -> None:
        """A command line came."""
        text = line.decode("utf-8", "surrogateescape")
        verb, _, argument = text.partition(" ")
        try:
            self._command(verb.upper(), text.isprintable())(self, argument)
        except ProtocolViolation as violation:
            self._refuse(violation.reply or replies.UNKNOWN_COMMAND)

    def _command(self, verb: str, is_printable: bool) -> Callable[[Dialogue, str], None]:
        if not is_printable:
            raise ProtocolViolation("control characters or broken UTF-8", replies.NOT_TEXT)
        refusal = REFUSALS[self.state].get(verb)
        if refusal is not None and verb != "BDAT":  # which is refused only once its chunk is known
            raise ProtocolViolation(f"{verb} out of place", refusal)
        return _COMMANDS.get(verb, Dialogue._unknown)

    def _ask(self, event: Event, answered: Callable[[Dialogue, Reply], bytes]) -> None:
        self.events.append(event)
        self._answered = answered
        self.is_waiting = True

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
        self._ask(HelloReceived(kind, name), Dialogue._hello_answered)

    def _hello_answered(self, reply: Reply) -> bytes:
        if not reply.is_positive:
            self._count_error(reply)
            return reply.encode()
        self.state = State.IDLE
        if self._hello_kind == "HELO":
            return Reply(250, "", self._hostname).encode()
        return Reply(250, "", "\n".join((self._hostname, *extensions.announced(self._settings)))).encode()

    def _mail(self, argument: str) -> None:
        mail = grammar.parse_mail(argument)
        if mail.size_bytes is not None and mail.size_bytes > self._settings.message_size_limit_bytes:
            raise ProtocolViolation("declared too big", replies.TOO_BIG)
        self._smtputf8 = mail.smtputf8
        self._ask(mail, Dialogue._mail_answered)

    def _mail_answered(self, reply: Reply) -> bytes:
        if reply.is_positive:
            self.state = State.SENDER
        else:
            self._count_error(reply)
        return reply.encode()

    def _rcpt(self, argument: str) -> None:
        rcpt = grammar.parse_rcpt(argument, self._smtputf8)
        if self._recipients >= self._settings.recipient_limit:
            raise ProtocolViolation("one recipient too many", replies.TOO_MANY_RECIPIENTS)
        self._ask(rcpt, Dialogue._rcpt_answered)

    def _rcpt_answered(self, reply: Reply) -> bytes:
        if reply.is_positive:
            self.state = State.RECIPIENTS
            self._recipients += 1
        else:
            self._count_error(reply)
        return reply.encode()

    def _data(self, argument: str) -> None:
        self._without(argument)
        self._ask(DataRequested(), Dialogue._data_answered)

    def _data_answered(self, reply: Reply) -> bytes:
        if reply.is_positive:
            self.state = State.TEXT
            self._incoming.begin_text()
            return _START_INPUT
        self._count_error(reply)
        return reply.encode()

    def _bdat(self, argument: str) -> None:
        try:
            self._chunk = size_bytes, is_last = grammar.parse_chunk(argument)
        except ProtocolViolation:
            self.parting = replies.OUT_OF_STEP.encode()  # what follows may be a chunk or a command
            raise
        refusal = REFUSALS[self.state].get("BDAT")
        if refusal is not None:
            self.events.append(ReplyReady(self._refuse_chunk(refusal)))
        elif self.state is State.CHUNKS:
            self._incoming.begin_chunk(size_bytes, is_last=is_last)
        else:
            self._ask(DataRequested(chunked=True), Dialogue._chunks_answered)

    def _chunks_answered(self, reply: Reply) -> bytes:
        if not reply.is_positive:
            return self._refuse_chunk(reply)
        self.state = State.CHUNKS
        size_bytes, is_last = self._chunk
        self._incoming.begin_chunk(size_bytes, is_last=is_last)
        return b""

    def _refuse_chunk(self, reply: Reply) -> bytes:
        """Its octets come all the same; the transaction is lost, and its BDAT LAST, if this is it, ends it."""
        size_bytes, is_last = self._chunk
        wire = self._once_or_each(reply) if is_last else reply.encode()
        self._count_error(reply)
        if is_last:
            self._forget_transaction()
        elif self.in_transaction:
            self.state = State.FAILED
        self._incoming.pass_over(size_bytes)
        return wire

    def body_ended(self, end: End) -> None:
        """Something of the body has come to its end."""
        if end is End.MESSAGE:
            self._message_ended()
        elif end is End.CHUNK:
            self._chunk_ended()

    def _message_ended(self) -> None:
        message = self._incoming.message
        if message.refusal is None:
            ended = BodyEnded(message.size_bytes, message.received_count, message.eight_bit, message.utf8_headers)
            self._ask(ended, Dialogue._message_answered)
        else:
            self.events.append(BodyRefused(message.refusal, self._once_or_each(message.refusal)))
            self._count_error(message.refusal)
            self._forget_transaction()

    def _chunk_ended(self) -> None:
        refusal = self._incoming.message.refusal
        if refusal is None:
            self._say(Reply(250, "2.0.0", f"{self._chunk[0]} octets received"))
        else:
            self.events.append(BodyRefused(refusal, refusal.encode()))
            self._count_error(refusal)
            self._incoming.forget()
            self.state = State.FAILED

    def _message_answered(self, reply: Reply) -> bytes:
        wire = self._once_or_each(reply)
        self._forget_transaction()
        self._count_message(reply)
        return wire

    def _count_message(self, reply: Reply) -> None:
        """Errors are forgiven to whoever gets a message through in between; a refused message is one more."""
        if reply.is_positive:
            self._errors = 0
        else:
            self._count_error(reply)

    def _once_or_each(self, reply: Reply) -> bytes:
        return reply.encode() * (max(1, self._recipients) if self._is_lmtp else 1)

    def _rset(self, argument: str) -> None:
        self._without(argument)
        self._give_up_transaction()
        self._say(replies.OK)

    def _quit(self, argument: str) -> None:
        self._without(argument)
        self.events.append(QuitReceived(replies.GOODBYE.encode()))
        self.end()

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
        self.parting = replies.OUT_OF_STEP.encode()

    def _say(self, reply: Reply) -> None:
        self.events.append(ReplyReady(reply.encode()))

    def _without(self, argument: str) -> None:
        if argument.strip(" "):
            raise ProtocolViolation("an argument where none belongs", replies.NO_ARGUMENT)

    def _give_up_transaction(self) -> None:
        if self.in_transaction:
            self.events.append(TransactionReset())
            self._forget_transaction()

    def _forget_transaction(self) -> None:
        if self.state is not State.FRESH:
            self.state = State.IDLE
        self._recipients = 0
        self._incoming.forget()


def _nothing_asked(_: Dialogue, __: Reply) -> bytes:
    raise ProtocolViolation("an answer that nothing asked for")


_START_INPUT = replies.START_INPUT.encode()

_COMMANDS: dict[str, Callable[[Dialogue, str], None]] = {
    "EHLO": Dialogue._ehlo,
    "HELO": Dialogue._helo,
    "LHLO": Dialogue._lhlo,
    "MAIL": Dialogue._mail,
    "RCPT": Dialogue._rcpt,
    "DATA": Dialogue._data,
    "BDAT": Dialogue._bdat,
    "RSET": Dialogue._rset,
    "QUIT": Dialogue._quit,
    "NOOP": Dialogue._noop,
    "HELP": Dialogue._help,
    "VRFY": Dialogue._vrfy,
    **dict.fromkeys(("EXPN", "STARTTLS", "AUTH", "TURN", "ETRN"), Dialogue._not_implemented),
    **dict.fromkeys(("GET", "HEAD", "POST", "PUT", "OPTIONS", "CONNECT"), Dialogue._not_smtp),
}
