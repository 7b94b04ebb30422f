"""One connection to a next hop: the client core on a wire, carrying one attempt after the other.

    OPENING ──EHLO answered──▶ READY ──start()──▶ BUSY ──every recipient has its outcome──▶ READY ... ──▶ PARTING

A message on an open session costs two writes and two reads: the envelope, then the message with its final dot, each
written at the end of the loop's turn together with what other sessions write. There is neither task nor future in it.
Only a message too big for one write is sent by a task of its own, range by range, each after the one before has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from nightmail.delivery.attempt import Attempt, kind_of
from nightmail.delivery.deadlines import Deadlines
from nightmail.delivery.discard import RIGHT_LAPSED
from nightmail.delivery.settings import DeliverySettings
from nightmail.delivery.wire import NEVER, Wire
from nightmail.errors import Corrupt, PermanentFailure, ProtocolViolation, TemporaryFailure
from nightmail.mail.reply import Reply
from nightmail.net.addresses import Target
from nightmail.net.outbox import Outbox
from nightmail.smtp.client import ClientCore
from nightmail.smtp.client_events import (
    BodyWanted,
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

RANGE_BYTES = 256 * 1024
"""How much of a message is read and written at a time."""
LAST_BYTES = 64 * 1024
"""How much of it may go into one write with the final dot."""

_UNSENDABLE = Reply(553, "5.1.3", "an address that can't be sent over SMTP")


class Owner(Protocol):
    """Whom a session tells how it goes on. What it is told last, it may answer by `start`."""

    def ended(self, session: Session, attempt: Attempt) -> None:
        """Every recipient has its outcome, or the peer takes no further transaction for those that are left."""
        ...

    def broke(self, session: Session, attempt: Attempt, reply: Reply, *, was_stale: bool) -> None:
        """The session is over amid an attempt. `was_stale`: it was an idle one whose peer had not waited for us."""
        ...

    def lost(self, session: Session) -> None:
        """The session is over, and idle or parting at that."""
        ...


class Session(Wire):
    """Takes attempts by `start`, one at a time, once `opened` is done."""

    def __init__(
        self,
        owner: Owner,
        destination: str,
        target: Target,
        *,
        core: ClientCore,
        settings: DeliverySettings,
        deadlines: Deadlines,
        outbox: Outbox,
    ) -> None:
        super().__init__(deadlines, outbox)
        self.destination = destination
        self.relay = str(target)
        self.messages = 0
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = owner
        self._core = core
        self._settings = settings
        self._attempt: Attempt | None = None
        self._doing = "waiting for its greeting"
        self._was_answered = False
        self._limit = NEVER
        self._sender: asyncio.Task[None] | None = None
        self._last: bytes | memoryview | None = None
        self.opened.add_done_callback(_seen)

    @property
    def is_ready(self) -> bool:
        """Whether an attempt may be started."""
        return not self._is_over and self._attempt is None and self._core.is_ready

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The peer is to greet."""
        super().connection_made(transport)
        self.allow(self._settings.greeting_timeout_s)

    def data_received(self, data: bytes) -> None:
        """Act on what the peer said."""
        for event in self._core.receive(data):
            if self._is_over:
                return
            _ACTIONS[type(event)](self, event)

    def start(self, attempt: Attempt) -> None:
        """Send the message of `attempt`; its end comes through the owner, never from within this call."""
        self._attempt = attempt
        self._was_answered = False
        self._limit = self._deadlines.after(self._settings.transaction_timeout_s)
        self.messages += 1
        self._begin(attempt)

    def wait_idle(self, idle_s: float) -> None:
        """Stay open for another attempt, but not longer."""
        self._doing = "it was idle"
        self.allow(idle_s)

    def part(self) -> None:
        """Say good-bye and close."""
        if self._is_over:
            return
        self._doing = "waiting for the answer to QUIT"
        self.allow(self._settings.quit_timeout_s)
        try:
            self.write(self._core.quit())
        except ProtocolViolation:
            self._leave()

    def expired(self) -> None:
        """The peer took too long."""
        if self.is_ready:
            self.part()
        else:
            self._break(Reply(451, "4.4.2", f"conversation with {self.relay} timed out while {self._doing}"))

    def broken(self, why: str) -> None:
        """The connection was lost."""
        self._break(Reply(451, "4.4.2", f"lost connection with {self.relay} while {self._doing}: {why}"))

    def give_up(self, reply: Reply) -> None:
        """Break off whatever is under way."""
        if not self._is_over:
            self._break(reply)

    def _begin(self, attempt: Attempt) -> None:
        """The next transaction, or the end where nobody is left who can be offered to this peer."""
        self._stop_sending()
        try:
            wire = self._next_transaction(attempt)
        except Exception as error:  # noqa: BLE001  an unknown failure of a delivery is temporary
            attempt.settle_open("deferred", Reply(451, "4.3.0", f"{type(error).__name__}: {error}"))
            wire = b""
        if not wire:
            asyncio.get_running_loop().call_soon(self._go_on, attempt)
            return
        self._doing = "sending the envelope"
        self.allow(self._settings.envelope_timeout_s, self._limit)
        self.write(wire)

    def _next_transaction(self, attempt: Attempt) -> bytes:
        """What begins it on the wire, empty where there is nobody to begin it for."""
        job = attempt.job
        size_bytes = job.body.size_bytes
        batch = attempt.next_batch(self._core.extensions, self._settings.recipients_per_transaction)
        if self._core.objection(job.envelope, batch, size_bytes) is not None:
            batch = self._without_objection(attempt, batch)
        try:
            return self._core.begin(job.envelope, batch, size_bytes) if batch else b""
        except ProtocolViolation:
            attempt.settle(batch, "failed", _UNSENDABLE)
            return b""

    def _without_objection(self, attempt: Attempt, batch: Sequence[int]) -> tuple[int, ...]:
        """Those of the batch that the peer can be offered; the others fail (5.3.4, 5.6.3, 5.6.7)."""
        welcome = []
        for index in batch:
            objection = self._core.objection(attempt.job.envelope, (index,), attempt.job.body.size_bytes)
            if objection is None:
                welcome.append(index)
            else:
                attempt.settle((index,), "failed", objection, self.relay)
        return tuple(welcome)

    def _go_on(self, attempt: Attempt) -> None:
        """Offer those that are left, or tell the owner that this attempt is over here."""
        if self._attempt is not attempt:
            return
        if attempt.open and self._core.is_ready:
            self._begin(attempt)
            return
        self._attempt = None
        self._owner.ended(self, attempt)

    def _greeted(self, event: Greeted) -> None:
        if not event.reply.is_positive:
            self._refuse(event.reply, is_final=event.reply.code == 521)  # RFC 7504 §4; other 5yz often pass
            return
        self._doing = "waiting for the answer to its hello"
        self.allow(self._settings.hello_timeout_s)
        self.write(self._core.hello())

    def _hello_answered(self, event: HelloAnswered) -> None:
        if not event.reply.is_positive:
            self._refuse(event.reply, is_final=event.reply.is_permanent)
            return
        self.deadline = NEVER
        if not self.opened.done():
            self.opened.set_result(None)

    def _refuse(self, reply: Reply, *, is_final: bool) -> None:
        """The peer doesn't want to talk to us."""
        failure = PermanentFailure(reply) if is_final else TemporaryFailure(reply)
        if not self.opened.done():
            self.opened.set_exception(failure)
        self.part()

    def _mail_answered(self, event: MailAnswered) -> None:
        reply = event.reply
        if reply.code == 421:  # the session's end, not a verdict on the message: PeerClosing follows
            return
        self._heard()
        if self._attempt is not None and not reply.is_positive:
            self._attempt.settle_open(kind_of(reply), reply, self.relay)

    def _recipient_answered(self, event: RecipientAnswered) -> None:
        self._heard()
        if self._attempt is None or event.reply.code == 421:
            return
        if event.reply.is_positive:
            self._attempt.taken()
        else:
            self._attempt.refused(event.index, event.reply, self.relay)

    def _heard(self) -> None:
        self._was_answered = True
        self.allow(self._settings.envelope_timeout_s, self._limit)

    def _body_wanted(self, _: BodyWanted) -> None:
        attempt = self._attempt
        if attempt is None:
            return
        self._doing = "sending the message"
        content = attempt.job.body.in_memory
        if content is not None and len(content) <= LAST_BYTES and self.is_drained:
            self._finish(content)
        else:
            self.allow(self._settings.data_block_timeout_s, self._limit)
            self._sender = asyncio.get_running_loop().create_task(self._send_ranges(attempt))

    async def _send_ranges(self, attempt: Attempt) -> None:
        """Send a message that is large or not at hand."""
        try:
            rest = await self._send_all_but_last(attempt)
            if self._attempt is attempt:
                self._finish(rest)
        except Exception as error:  # noqa: BLE001  an unknown failure of a delivery is temporary
            if self._attempt is attempt:
                self._break(Reply(451, "4.3.0", f"the message can't be read: {error}"), is_ours=True)

    async def _send_all_but_last(self, attempt: Attempt) -> bytes | memoryview:
        """Send ranges until what is left fits into one write with the final dot, and give that."""
        size_bytes, offset = attempt.job.body.size_bytes, 0
        piece: bytes | memoryview = b""
        while offset < size_bytes and self._core.wants_body:
            piece = await _read(attempt, offset, min(RANGE_BYTES, size_bytes - offset))
            offset += len(piece)
            await self.drained()
            if offset == size_bytes and len(piece) <= LAST_BYTES:
                return piece
            self.allow(self._settings.data_block_timeout_s, self._limit)
            self.write_now(self._core.body(piece))
        await self.drained()
        return b""

    def _finish(self, rest: bytes | memoryview) -> None:
        """Send what is left of the message and its end with what others send in this turn of the loop."""
        self._last = rest
        self._outbox.add(self)

    def write_out(self) -> None:
        """Send what waits for the end of the turn."""
        self._flush()
        rest, attempt = self._last, self._attempt
        if rest is None or attempt is None or not self.is_drained:
            return
        self._last = None
        try:
            self._send_last(attempt, rest)
        except Exception as error:  # noqa: BLE001  an unknown failure of a delivery is temporary
            self._break(Reply(451, "4.3.0", f"{type(error).__name__}: {error}"), is_ours=True)

    def resume_writing(self) -> None:
        """The transport's buffer is empty again: the end of the message may go into it."""
        super().resume_writing()
        if self._last is not None:
            self._outbox.add(self)

    def _send_last(self, attempt: Attempt, rest: bytes | memoryview) -> None:
        """The final dot or last chunk, into an empty buffer, if we still have the right to deliver (J6)."""
        if not self._core.wants_body:  # the peer gave up meanwhile, and that was told
            return
        pieces = self._core.body(rest)  # before the clock is looked at: what lies between that and the write is a gap
        if not attempt.job.may_finish():
            self._break(RIGHT_LAPSED, is_ours=True)
            return
        self._doing = "waiting for the answer to the message"
        self.allow(self._settings.final_timeout_s)
        attempt.job.finishing()
        self.write_now([b"".join((*pieces, self._core.end_of_body()))])

    def _message_answered(self, event: MessageAnswered) -> None:
        if self._attempt is not None and (event.reply.code != 421 or self._core.final_sent):
            self._attempt.settle(event.indexes, kind_of(event.reply), event.reply, self.relay, self._core.extensions)

    def _transaction_ended(self, _: TransactionEnded) -> None:
        attempt = self._attempt
        if attempt is None or self._core.is_closed:  # why it is closed is told next, and ends the attempt
            return
        attempt.transaction_ended(self.relay)
        self._stop_sending()
        self._go_on(attempt)

    def _stop_sending(self) -> None:
        """What is still being read or waits to be written belongs to a transaction that is over."""
        self._last = None
        sender, self._sender = self._sender, None
        if sender is not None and sender is not asyncio.current_task():
            sender.cancel()

    def _command_ready(self, event: CommandReady) -> None:
        self.write(event.wire)

    def _peer_closing(self, event: PeerClosing) -> None:
        self._break(event.reply)

    def _protocol_broken(self, event: ProtocolBroken) -> None:
        self._break(Reply(451, "4.5.0", f"protocol violation by {self.relay} while {self._doing}: {event.reason}"))

    def _quitted(self, _: Quitted) -> None:
        self._leave()

    def _leave(self) -> None:
        self.hang_up()
        self._owner.lost(self)

    def _break(self, reply: Reply, *, is_ours: bool = False) -> None:
        """The session is over; an attempt on it ends here, ambiguous where its final dot has no answer (J8)."""
        self.hang_up()
        self._stop_sending()
        if not self.opened.done():
            self.opened.set_exception(TemporaryFailure(reply))
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            self._owner.lost(self)
            return
        if self._core.final_sent:
            attempt.settle(self._core.unanswered, "ambiguous", reply, self.relay)
        if is_ours:
            attempt.settle_open("deferred", reply, self.relay)
        was_stale = self.messages > 1 and not self._was_answered
        self._owner.broke(self, attempt, reply, was_stale=was_stale)


def _seen(opened: asyncio.Future[None]) -> None:
    """A session that fails when nobody waits for it any more is no error of the program."""
    if not opened.cancelled():
        opened.exception()


async def _read(attempt: Attempt, offset: int, size: int) -> bytes | memoryview:
    """A range of the message, whole. Raises: StoreUnavailable, Corrupt."""
    body = attempt.job.body
    piece = body.in_memory[offset : offset + size] if body.in_memory is not None else await body.read(offset, size)
    if len(piece) != size:
        raise Corrupt(attempt.job.id, offset + len(piece), f"the body ends, {body.size_bytes} bytes were stored")
    return piece


_ACTIONS: dict[type, Callable[[Session, Any], None]] = {
    Greeted: Session._greeted,
    HelloAnswered: Session._hello_answered,
    MailAnswered: Session._mail_answered,
    RecipientAnswered: Session._recipient_answered,
    BodyWanted: Session._body_wanted,
    MessageAnswered: Session._message_answered,
    TransactionEnded: Session._transaction_ended,
    CommandReady: Session._command_ready,
    Quitted: Session._quitted,
    PeerClosing: Session._peer_closing,
    ProtocolBroken: Session._protocol_broken,
}
