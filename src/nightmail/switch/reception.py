"""Everything a session needs of its switch: who may come in, who may send to whom, and where messages go."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any, Literal, Protocol

import structlog

from nightmail.errors import StoreUnavailable
from nightmail.journal.keys import body_key
from nightmail.journal.records import BodyPlace
from nightmail.mail.envelope import Envelope
from nightmail.mail.received import Trace
from nightmail.mail.reply import Reply
from nightmail.net.outbox import Outbox
from nightmail.routing.snapshot import Accepted
from nightmail.smtp.events import HelloReceived
from nightmail.smtp.server import ServerCore
from nightmail.smtp.settings import SmtpSettings
from nightmail.switch.admission import Admission
from nightmail.switch.aside import Aside, Nowhere
from nightmail.switch.incoming import Sender
from nightmail.switch.parts import Counters, Parts
from nightmail.switch.session import SmtpSession

_SPACE_LOOK_S = 1.0
_PATIENCE_SHARE = 20
_UNNAMED_LIMIT = 1_000

Service = Literal["smtp", "submission", "lmtp"]

log = structlog.get_logger()


class Desk(Protocol):
    """Where messages go: the newest queue of the switch, while there is one."""

    def fault(self) -> Reply | None:
        """The reply that refuses mail at the moment, or None."""
        ...

    def queue_name(self) -> str:
        """The queue in which a message that begins now will lie."""
        ...

    def submit(self, message_id: str, envelope: Envelope, data: bytes, place: BodyPlace, sender: Sender) -> None:
        """Take a message in; `sender` hears what became of it."""
        ...


class Reception:
    """The sessions of one service, and what they may ask."""

    def __init__(
        self,
        parts: Parts,
        settings: SmtpSettings,
        service: Service,
        admission: Admission,
        desk: Desk,
        *,
        proxy_from: Sequence[str] = (),
    ) -> None:
        """Take what is shared; `proxy_from` are the networks whose connections begin with a PROXY header."""
        self.counters: Counters = parts.counters
        self._parts = parts
        self._settings = settings
        self._service = service
        self._admission = admission
        self._desk = desk
        self._sessions: set[SmtpSession] = set()
        self._unnamed: set[SmtpSession] = set()
        self._parting: set[SmtpSession] = set()
        self._balancers = [ipaddress.ip_network(network) for network in proxy_from]
        self._tasks: set[asyncio.Task[Any]] = set()
        self._bare_from = [ipaddress.ip_network(network) for network in settings.bare_newlines_from]
        self.outbox = Outbox()
        self.elapsed = parts.clock.elapsed
        self.wall = parts.clock.wall
        self.next_id = parts.ids.next

    def session(self) -> SmtpSession:
        """A protocol for a connection that was just accepted."""
        return SmtpSession(self)

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)

    def core(self, client_ip: str) -> ServerCore:
        """The protocol machine for a client."""
        return ServerCore(
            self._settings,
            self._parts.hostname,
            self._service,
            bare_newlines_allowed=bool(self._bare_from) and _is_in(client_ip, self._bare_from),
        )

    def is_balancer(self, client_ip: str) -> bool:
        """Whether this client has to tell in whose name it comes."""
        return bool(self._balancers) and _is_in(client_ip, self._balancers)

    def await_proxy(self, session: SmtpSession) -> None:
        """A balancer's connection has not told yet whose it is: look after it, within a bound."""
        self._unnamed.add(session)
        if len(self._unnamed) > _UNNAMED_LIMIT:
            session.abort()

    def proxy_over(self, session: SmtpSession) -> None:
        """It has told, or is gone."""
        self._unnamed.discard(session)

    def client_rule(self, client_ip: str) -> str:
        """What the tables say of this client."""
        return self._parts.routing.snapshot.client_rule(client_ip) if client_ip else ""

    def enter(self, session: SmtpSession, client_ip: str) -> Reply | None:
        """Count a session in, or turn it away with a reply."""
        refused = self._admission.enter(client_ip)
        if refused is None:
            self._sessions.add(session)
        return refused

    def leave(self, session: SmtpSession, client_ip: str) -> None:
        """Count a session out."""
        self._sessions.discard(session)
        self._admission.leave(client_ip)

    def trace(self, hello: HelloReceived, client_ip: str) -> Trace:
        """What writes the Received fields of a session."""
        return Trace(
            self._parts.hostname,
            hello=hello.name,
            client_address=client_ip,
            extended=hello.kind != "HELO",
            lmtp=hello.kind == "LHLO",
        )

    def fault(self) -> Reply | None:
        """The reply that refuses mail at the moment, or None."""
        return self._admission.fault or self._desk.fault()

    def accept(self, address: str, rule: str) -> Accepted | Reply:
        """The final recipients of an address, or the refusal; `rule` is the client's.

        Raises:
            NotKnownYet: it has to be looked up first.
        """
        may_relay = rule == "relay" or (rule == "submit" and self._service == "submission")
        return self._parts.routing.snapshot.accept(address, may_relay=may_relay)

    def look_up(self, keys: Collection[str], found: Callable[[], None]) -> None:
        """Have what `accept` missed looked up; `found` is called when it is worth asking again."""
        self._parts.routing.look_up(keys, found)

    def aside(self, message_id: str, on_caught_up: Callable[[], None]) -> Aside:
        """A place for a large body; without a queue to put it into, the message is refused at its end."""
        queue = self._desk.queue_name()
        key = body_key(queue, message_id)
        writer = self._parts.store.put_body(key) if queue else Nowhere()
        return Aside(writer, key, on_caught_up)

    def submit(self, message_id: str, envelope: Envelope, data: bytes, place: BodyPlace, sender: Sender) -> None:
        """Hand a complete message over."""
        self._desk.submit(message_id, envelope, data, place, sender)

    async def keep(self, aside: Aside) -> BodyPlace:
        """Make a large body durable; where it is. Raises: StoreUnavailable, also if that takes too long."""
        timeout_s = self._parts.store_settings.answer_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return await aside.finish()
        except TimeoutError:
            # No record names the body yet, so that nothing can land and the client may be told so (J3).
            self.discard(aside)
            raise StoreUnavailable(f"{aside.key}: not durable after {timeout_s:g} s") from None

    def discard(self, aside: Aside) -> None:
        """Forget a large body that will not become a message."""
        self.spawn(self._throw_away(aside))

    def spawn(self, work: Coroutine[Any, Any, Any], on_failure: Callable[[], None] | None = None) -> None:
        """Run something that a session need not wait for; `on_failure` hears of an error that nobody foresaw."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, on_failure))

    def _ended(self, on_failure: Callable[[], None] | None, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        log.error("large message failed", exc_info=task.exception(), remedy="its client repeats it; report this")
        if on_failure is not None:
            on_failure()

    async def _throw_away(self, aside: Aside) -> None:
        await aside.abort()
        if aside.may_have_landed:
            try:
                await self._parts.store.delete([aside.key])
            except StoreUnavailable as error:
                log.warning(
                    "body left behind",
                    key=aside.key,
                    reason=str(error),
                    remedy="none: whoever adopts the queue removes it",
                )

    async def look_after_sessions(self) -> None:
        """End sessions that make no progress; runs until cancelled."""
        timeout_s = self._settings.idle_timeout_s
        while True:
            await asyncio.sleep(timeout_s / _PATIENCE_SHARE)
            now = self.elapsed()
            for session in [*self._sessions, *self._unnamed]:
                session.check_patience(now, timeout_s)

    def hear_last_words(self, session: SmtpSession) -> None:
        """A session has ended that is told so: its socket stays open a little, for what the client sent meanwhile."""
        self._parting.add(session)

    def last_words_over(self, session: SmtpSession) -> None:
        """Its client has closed, too, or was given up."""
        self._parting.discard(session)

    @property
    def parting(self) -> int:
        """How many sessions are over, but for their sockets."""
        return len(self._parting)

    def shut_down(self) -> None:
        """End every session that is in no transaction; the others end with theirs."""
        for session in [*self._sessions, *self._unnamed]:
            session.shut_down()

    def hurry(self) -> None:
        """End every session that has no message under way; the others end with its answer."""
        for session in [*self._sessions]:
            session.hurry()

    def abort(self) -> None:
        """Drop whoever is left."""
        for session in [*self._sessions, *self._unnamed]:
            session.abort()


async def look_at_space(parts: Parts, admission: Admission) -> None:
    """Keep knowing whether the store has room; runs until cancelled."""
    while True:
        try:
            admission.note_space(await parts.store.free_bytes())
        except StoreUnavailable as error:
            if admission.fault is None:
                log.warning("store not available", reason=str(error))
            admission.note_fault(error)
        await asyncio.sleep(_SPACE_LOOK_S)


def _is_in(client_ip: str, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    try:
        address = ipaddress.ip_address(client_ip)
    except ValueError:
        return False
    return any(address in network for network in networks)
