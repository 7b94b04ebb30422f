"""A client's session: the sans-IO core on a socket, with the switch's decisions between (RFC 5321 §4).

The dialogue is driven by `_advance`, which feeds the core and performs what its events say. Most questions of the
core are answered on the spot; the last one, "is this message yours now?", is answered when the journal knows (J1).
Meanwhile the client may send ahead; reading pauses when it does. It pauses as well while the client does not read its
answers, and what it sent already is not obeyed before it has: a session takes so much memory and no more.

Replies to commands are written at the end of the loop's turn, together with those of other sessions. The reply to a
message is written at once, for whether its client is still there decides what becomes of it; so is a session's last.

A switch that stops lets every session end the transaction it is in (R11). Then it says 421 and closes its own direction
only, and hears the client out for a moment: a closed socket answers what still comes with a reset, which can overtake
the last replies, a 250 among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

import structlog

from nightmail.errors import DirectoryUnavailable, NotKnownYet, ProtocolViolation, StoreUnavailable, SwitchError
from nightmail.mail.envelope import Envelope
from nightmail.mail.received import Trace
from nightmail.mail.reply import Reply
from nightmail.net.proxy import ProxyReader
from nightmail.smtp.events import (
    BodyEnded,
    BodyReceived,
    BodyRefused,
    CloseRequested,
    DataRequested,
    HelloReceived,
    MailReceived,
    QuitReceived,
    RcptReceived,
    ReplyReady,
    TransactionReset,
)
from nightmail.smtp.replies import OUT_OF_STEP
from nightmail.smtp.server import INPUT_LIMIT_BYTES, ServerCore
from nightmail.switch.admission import CLOSING, refusal
from nightmail.switch.aside import Aside
from nightmail.switch.progress import Progress
from nightmail.switch.transaction import Transaction

if TYPE_CHECKING:
    from nightmail.switch.reception import Reception

_OK = Reply(250, "2.0.0", "Ok")
_SENDER_OK = Reply(250, "2.1.0", "Ok")
_RECIPIENT_OK = Reply(250, "2.1.5", "Ok")
_GO_AHEAD = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
_DENIED = Reply(554, "5.7.1", "Access denied")
_RULES_AWAY = Reply(421, "4.3.0", "The directory is not available; try again later")
_IDLE = Reply(421, "4.4.2", "Idle for too long; closing")
_TOO_MANY_FINAL = Reply(452, "4.5.3", "Too many recipients after aliases are expanded")
_FINAL_RECIPIENTS_LIMIT = 10_000
_PROXY_PATIENCE_S = 10.0
_PORTION_BYTES = 32 * 1024  # of commands that are obeyed before it is looked whether the client takes the answers
_LINGER_S = 1.0
_UNREAD_LIMIT_BYTES = 16 * 1024  # of answers, from which on the client has to read before it is heard

log = structlog.get_logger()


class SmtpSession:
    """One connection of a client, from greeting to close; the `Sender` of the messages it brings.

    It is an `asyncio.Protocol` by its methods; an interpreted base class would cost it its fast attributes where it is
    compiled.
    """

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._transport: asyncio.Transport | None = None
        self._core: ServerCore | None = None
        self._transaction: Transaction | None = None
        self._trace: Trace | None = None
        self._client_ip = ""
        self._client = ""
        self._rule = ""
        self._is_counted = False
        self._is_paused = False
        self._is_unread = False
        self._is_closing = False
        self._progress = Progress(0.0)
        self._out: list[bytes] = []
        self._ahead = b""
        self._proxy: ProxyReader | None = None
        self._is_balancers_own = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the client, or turn it away."""
        # uvloop's transports are asyncio's by behaviour, not by class.
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(high=_UNREAD_LIMIT_BYTES)
        peer = transport.get_extra_info("peername")
        self._client_ip = str(peer[0]).removeprefix("::ffff:") if isinstance(peer, tuple) else ""
        self._progress = Progress(self._reception.elapsed())
        if self._reception.is_balancer(self._client_ip):
            self._proxy = ProxyReader()
            self._reception.await_proxy(self)
        else:
            self._begin(transport)

    def _begin(self, transport: asyncio.Transport) -> None:
        self._client = f"unknown[{self._client_ip}]"
        self._core = self._reception.core(self._client_ip)
        refused = self._admit()
        if refused is not None:
            log.info("connection refused", client=self._client_ip, reply=str(refused))
            self._out.append(self._core.close(refused))
            self.write_out()
            transport.close()
            return
        self._is_counted = True
        self._say_later(self._core.greeting())

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was being received; what is on its way into the journal learns of it from `accepted`."""
        self._transport = None
        self._ahead = b""
        if self._proxy is not None:
            self._proxy = None
            self._reception.proxy_over(self)
        self._out.clear()
        self._forget()
        self._reception.last_words_over(self)
        self._count_out()

    def data_received(self, data: bytes) -> None:
        """Go on with the dialogue."""
        core = self._core
        if core is None:
            if self._proxy is not None:
                self._hear_proxy(self._proxy, data)
            return
        if core.is_closed:
            return
        if core.is_waiting or self._is_unread or len(data) > _PORTION_BYTES:
            self._take_ahead(core, data)
        else:
            self._advance(core, data)

    def _hear_proxy(self, proxy: ProxyReader, data: bytes) -> None:
        """The balancer says whose connection this is; the client's first words may come with it."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        try:
            proxied = proxy.feed(data)
        except ProtocolViolation as violation:
            log.warning("connection dropped", client=self._client_ip, reason=str(violation),
                        remedy="let the balancer send the PROXY header, or take it out of proxy_from")  # fmt: skip
            self.abort()
            return
        if proxied is None:
            return
        self._proxy = None
        self._reception.proxy_over(self)
        self._is_balancers_own = not proxied.address
        self._client_ip = proxied.address.removeprefix("::ffff:") or self._client_ip
        self._begin(transport)
        if proxy.rest:
            self.data_received(proxy.rest)

    def pause_writing(self) -> None:
        """The client does not read its answers: nothing more is heard of it until it has."""
        self._is_unread = True
        self._pause()

    def resume_writing(self) -> None:
        """The client has read: go on with what it sent."""
        self._is_unread = False
        core, transport = self._core, self._transport
        if core is not None and transport is not None and not transport.is_closing():
            self._catch_up(core)

    def eof_received(self) -> bool:
        """A client that says no more gets no more answers: the transport is closed."""
        return False

    def check_patience(self, now: float, idle_timeout_s: float) -> None:
        """End a session that makes no progress; called now and then, `now` in elapsed seconds."""
        core, transport = self._core, self._transport
        if transport is None:
            return
        if core is None:
            if now - self._progress.at > _PROXY_PATIENCE_S:
                log.info("connection dropped", client=self._client_ip, reason="no PROXY header came")
                self.abort()
            return
        self._progress.look(now)
        if transport.is_closing() or (self._is_unread and not core.is_waiting):
            # Only a reader could let a close or a 421 come to pass.
            if now - self._progress.at > idle_timeout_s:
                log.info("connection dropped", client=self._client, reason="the client does not read its answers")
                self.abort()
        elif not core.is_waiting and now - self._progress.since() > idle_timeout_s:
            self._end(_IDLE)

    def shut_down(self) -> None:
        """End the session once it is in no transaction."""
        self._is_closing = True
        if self._core is None:
            self.abort()
        else:
            self._part_if_idle(self._core)

    def hurry(self) -> None:
        """End the session as soon as no message waits for its answer: it had its time to end its transaction."""
        if self._core is not None and not self._core.is_waiting:
            self._part()

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def accepted(self, message_id: str) -> bool:
        """The journal has the message: answer 250, unless the client is gone (J1)."""
        if self._transport is None or self._transport.is_closing() or self._core is None:
            self._reception.counters.voided += 1
            return False
        self._reception.counters.accepted += 1
        self._reply_to_message(Reply(250, "2.0.0", f"Ok: queued as {message_id}"))
        return True

    def refused(self, error: SwitchError) -> None:
        """The message is nowhere: answer 4xx."""
        reply = refusal(error)
        log.warning("message refused", client=self._client, reply=str(reply), reason=str(error))
        self._reception.counters.refused += 1
        if self._transport is not None and not self._transport.is_closing():
            self._reply_to_message(reply)

    def left_unanswered(self) -> None:
        """The message may yet land: the client is to repeat it, and gets no answer that could be wrong (J3)."""
        if self._transport is not None and not self._transport.is_closing():
            self._reception.counters.unanswered += 1
            self.abort()

    def _admit(self) -> Reply | None:
        """Find out what the client may do, and count it in; a reply turns it away."""
        try:
            self._rule = self._reception.client_rule(self._client_ip)
        except DirectoryUnavailable as error:
            log.warning("client rules not available", client=self._client_ip, reason=str(error))
            return _RULES_AWAY
        if self._is_balancers_own and self._rule != "deny":
            self._rule = ""  # its health checks never relay, whatever its address may
        return _DENIED if self._rule == "deny" else self._reception.enter(self, self._client_ip)

    def _take_ahead(self, core: ServerCore, data: bytes) -> None:
        """Keep what can't be obeyed at once."""
        if len(self._ahead) + len(data) > INPUT_LIMIT_BYTES:
            self._end(OUT_OF_STEP)
            return
        self._ahead += data
        if core.is_waiting or self._is_unread:
            self._pause()
        else:
            self._catch_up(core)

    def _catch_up(self, core: ServerCore) -> None:
        """Go on with what came ahead of its turn, as far as the client takes the answers."""
        portion = b""
        while True:
            self._advance(core, portion)
            if self._ahead:
                self.write_out()  # whether the client takes its answers decides how much more is obeyed
            if self._is_unread or not self._ahead or core.is_waiting or core.is_closed:
                break
            portion, self._ahead = self._ahead[:_PORTION_BYTES], self._ahead[_PORTION_BYTES:]
        self._resume()

    def _advance(self, core: ServerCore, data: bytes) -> None:
        try:
            while True:
                events = core.receive(data)
                for event in events:
                    _HANDLERS[type(event)](self, core, event)
                if not events or core.is_waiting or not core.has_more:
                    break
                data = b""
        except ProtocolViolation as violation:
            self._out.append(core.close(violation.reply) if violation.reply is not None else b"")
            self._close()
            return
        if events or not data:
            self._progress.has_moved = True
        if self._is_closing:
            self._part_if_idle(core)

    def _reply_to_message(self, reply: Reply) -> None:
        core = self._core
        if core is None:
            return
        self._progress.end_body()
        self._out.append(core.answer(reply))
        self.write_out()
        if self._is_closing:
            self._part()
            return
        self._progress.has_moved = True
        if not self._is_unread:
            self._catch_up(core)

    def _say_later(self, wire: bytes) -> None:
        if not self._out:
            self._reception.outbox.add(self)
        self._out.append(wire)

    def write_out(self) -> None:
        """Write what there is to say."""
        out, self._out = self._out, []
        if out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _hello(self, core: ServerCore, event: HelloReceived) -> None:
        self._client = f"{event.name}[{self._client_ip}]"
        self._trace = self._reception.trace(event, self._client_ip)
        self._say_later(core.answer(_OK))

    def _mail(self, core: ServerCore, event: MailReceived) -> None:
        fault = CLOSING if self._is_closing else self._reception.fault()
        if fault is None:
            self._transaction = Transaction(event, self._reception.next_id())
        self._say_later(core.answer(fault or _SENDER_OK))

    def _rcpt(self, core: ServerCore, event: RcptReceived) -> None:
        transaction = self._ongoing()
        try:
            found = self._reception.accept(event.address, self._rule)
        except NotKnownYet as missing:
            self._reception.look_up(missing.keys, partial(self._go_on_with, core, event))
            return
        if isinstance(found, Reply):
            log.info("recipient refused", client=self._client, to=f"<{event.address}>", reply=str(found))
        elif len(transaction.recipients) + len(found.recipients) > _FINAL_RECIPIENTS_LIMIT:
            found = _TOO_MANY_FINAL
        else:
            transaction.add(event, found)
        self._say_later(core.answer(found if isinstance(found, Reply) else _RECIPIENT_OK))

    def _go_on_with(self, core: ServerCore, event: RcptReceived) -> None:
        """What was missing has been looked up: answer the recipient, and go on with what was sent after it."""
        if self._transport is None or self._transport.is_closing() or core.is_closed:
            return
        self._rcpt(core, event)
        if not core.is_waiting:
            self._progress.has_moved = True
            if not self._is_unread:
                self._catch_up(core)

    def _data(self, core: ServerCore, _event: DataRequested) -> None:
        transaction = self._ongoing()
        if self._trace is None:
            raise ProtocolViolation("a message before the hello")
        transaction.write(
            self._trace.header(
                transaction.message_id,
                transaction.sole_recipient(),
                self._reception.wall(),
                smtputf8=transaction.smtputf8,
            )
        )
        self._progress.begin_body(self._reception.elapsed())
        self._say_later(core.answer(_GO_AHEAD))

    def _body(self, _core: ServerCore, event: BodyReceived) -> None:
        transaction = self._ongoing()
        self._progress.add_body(len(event.data))
        if transaction.write(event.data):
            transaction.divert(self._reception.aside(transaction.message_id, self._resume))
        if transaction.aside is not None and transaction.aside.is_behind:
            self._pause()

    def _body_ended(self, core: ServerCore, event: BodyEnded) -> None:
        transaction, self._transaction = self._ongoing(), None
        envelope = transaction.envelope(event, self._client)
        if transaction.aside is None:
            data, place = transaction.data()
            self._reception.submit(transaction.message_id, envelope, data, place, self)
        else:
            submitting = self._submit_aside(transaction.aside, transaction.message_id, envelope)
            self._reception.spawn(submitting, self.left_unanswered)

    async def _submit_aside(self, aside: Aside, message_id: str, envelope: Envelope) -> None:
        if self._transport is None:
            self._reception.discard(aside)
            return
        try:
            place = await self._reception.keep(aside)
        except StoreUnavailable as error:
            self.refused(error)
        else:
            self._reception.submit(message_id, envelope, b"", place, self)

    def _body_refused(self, _core: ServerCore, event: BodyRefused) -> None:
        log.info("message refused", client=self._client, reply=str(event.reply))
        self._say_later(event.wire)
        self._forget()

    def _reset(self, _core: ServerCore, _event: TransactionReset) -> None:
        self._forget()

    def _say(self, _core: ServerCore, event: ReplyReady) -> None:
        self._say_later(event.wire)

    def _say_last(self, _core: ServerCore, event: QuitReceived | CloseRequested) -> None:
        self._out.append(event.wire)
        self._forget()
        self._close()

    def _ongoing(self) -> Transaction:
        if self._transaction is None:
            raise ProtocolViolation("a recipient or a body without a sender")
        return self._transaction

    def _forget(self) -> None:
        """Give up what is being received and is not on its way into the journal."""
        transaction, self._transaction = self._transaction, None
        self._progress.end_body()
        if transaction is not None and transaction.aside is not None:
            self._reception.discard(transaction.aside)

    def _end(self, reply: Reply) -> None:
        if self._core is not None and self._transport is not None and not self._transport.is_closing():
            self._out.append(self._core.close(reply))
        self._close()

    def _part_if_idle(self, core: ServerCore) -> None:
        if not core.is_waiting and not core.in_transaction and not core.is_closed:
            self._part()

    def _part(self) -> None:
        """Say that the service ends, and hear the client out for a moment."""
        core, transport = self._core, self._transport
        if core is None or core.is_closed or transport is None or transport.is_closing():
            return
        if self._is_unread or not transport.can_write_eof():
            self._end(CLOSING)
            return
        self._out.append(core.close(CLOSING))
        self.write_out()
        self._forget()
        self._ahead = b""
        transport.write_eof()
        self._resume()
        self._count_out()
        self._reception.hear_last_words(self)
        asyncio.get_running_loop().call_later(_LINGER_S, self.abort)

    def _count_out(self) -> None:
        if self._is_counted:
            self._is_counted = False
            self._reception.leave(self, self._client_ip)

    def _close(self) -> None:
        """Write what there is to say, and close."""
        self.write_out()
        if self._transport is not None and not self._transport.is_closing():
            self._ahead = b""
            self._progress.has_moved = True
            self._transport.close()

    def _pause(self) -> None:
        if not self._is_paused and self._transport is not None and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        """Read on, if nothing that was a reason to pause is left."""
        if not self._is_paused or self._is_unread or (self._core is not None and self._core.is_waiting):
            return
        aside = self._transaction.aside if self._transaction is not None else None
        if self._transport is not None and not self._transport.is_closing() and not (aside and aside.is_behind):
            self._is_paused = False
            self._transport.resume_reading()


_HANDLERS: dict[type, Callable[..., None]] = {
    HelloReceived: SmtpSession._hello,
    MailReceived: SmtpSession._mail,
    RcptReceived: SmtpSession._rcpt,
    DataRequested: SmtpSession._data,
    BodyReceived: SmtpSession._body,
    BodyEnded: SmtpSession._body_ended,
    BodyRefused: SmtpSession._body_refused,
    TransactionReset: SmtpSession._reset,
    ReplyReady: SmtpSession._say,
    QuitReceived: SmtpSession._say_last,
    CloseRequested: SmtpSession._say_last,
}
