"""Delivery by SMTP and LMTP: finds the mail hosts, opens sessions, and keeps idle ones for the next message.

How many sessions a destination may have is the scheduler's business. Here a job takes the idle session that was used
last, or a new one: the hosts are tried in order until one opens, and the next one too should that session break before
the final dot.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Protocol

from nightmail.delivery.attempt import Attempt, Failure
from nightmail.delivery.deadlines import Deadlines
from nightmail.delivery.idle import IdleSessions
from nightmail.delivery.job import Health, Job
from nightmail.delivery.session import Session
from nightmail.delivery.settings import DeliverySettings
from nightmail.errors import PermanentFailure, TemporaryFailure
from nightmail.mail.reply import Reply
from nightmail.net.addresses import Target
from nightmail.net.dialing import Dialer
from nightmail.net.outbox import Outbox
from nightmail.routing.route import Route
from nightmail.smtp.client import ClientCore
from nightmail.world import Clock

_CLOSING = Reply(451, "4.3.2", "this switch is shutting down; whether the message was taken is not known")
_NO_HOST = Failure(Reply(451, "4.4.1", "no mail host was left to try"))


class Hosts(Protocol):
    """Finds the mail hosts of a route; `MailHosts` is one."""

    async def of(self, route: Route) -> list[Target]:
        """The hosts to try, in order. Raises: TemporaryFailure, PermanentFailure."""
        ...


class SmtpTransport:
    """Carries jobs by SMTP and LMTP."""

    def __init__(
        self,
        settings: DeliverySettings,
        hostname: str,
        *,
        hosts: Hosts,
        dialer: Dialer,
        health: Health,
        clock: Clock,
        tick_s: float = 0.5,
    ) -> None:
        """Take settings and world; `tick_s` is how exact the timeouts are."""
        self._settings = settings
        self._hostname = hostname
        self._hosts = hosts
        self._dialer = dialer
        self._health = health
        self._clock = clock
        self._deadlines = Deadlines(tick_s)
        self._outbox = Outbox()
        self._idle = IdleSessions()
        self._sessions: set[Session] = set()
        self._opening: dict[asyncio.Task[None], Attempt] = {}
        self._is_closing = False
        self._all_gone = asyncio.Event()

    def deliver(self, route: Route, job: Job) -> None:
        """As `Transport.deliver` promises; the job's end never comes from within this call."""
        attempt = Attempt(route, job)
        session = self._idle.take(route.destination)
        if session is None:
            self._open(attempt)
        else:
            attempt.sessions = 1
            session.start(attempt)

    async def close(self) -> None:
        """Defer what has no session yet, and give what is under way `close_timeout_s` to end."""
        self._is_closing = True
        for session in self._idle.all():
            session.part()
        for opening in self._opening:
            opening.cancel()
        if self._sessions:
            self._all_gone.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.close_timeout_s):
                    await self._all_gone.wait()
        for session in list(self._sessions):
            session.give_up(_CLOSING)
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _open(self, attempt: Attempt) -> None:
        """Find a session for the attempt, in a task of its own."""
        task = asyncio.get_running_loop().create_task(self._find_session(attempt))
        self._opening[task] = attempt
        task.add_done_callback(self._opened)
        if self._is_closing:
            task.cancel()

    def _opened(self, task: asyncio.Task[None]) -> None:
        """Nothing to do, unless the task did not get to its end."""
        attempt = self._opening.pop(task)
        error = None if task.cancelled() else task.exception()
        if task.cancelled():
            self._end(attempt, Failure(_CLOSING))
        elif error is not None:  # an unknown failure of a delivery is temporary
            self._end(attempt, Failure(Reply(451, "4.3.0", f"{type(error).__name__}: {error}")))

    async def _find_session(self, attempt: Attempt) -> None:
        """Start the attempt on the first host that opens a session, or end it."""
        began = self._clock.elapsed()
        try:
            if attempt.targets is None:
                attempt.targets = iter(await self._hosts.of(attempt.route))
        except PermanentFailure as error:
            self._end(attempt, Failure(error.reply, is_permanent=True))
            return
        except TemporaryFailure as error:
            self._nowhere(attempt, Failure(error.reply))
            return
        worst: Failure | None = attempt.failure
        for target in attempt.targets:
            found = await self._try(attempt.route, target)
            if isinstance(found, Session):
                self._start(found, attempt, self._clock.elapsed() - began)
                return
            worst = found if worst is None or not found.is_permanent else worst
        self._nowhere(attempt, worst or _NO_HOST)

    async def _try(self, route: Route, target: Target) -> Session | Failure:
        """A session with this host that is ready, or why there is none."""
        try:
            session = await self._dialer.dial(
                target,
                lambda: self._new_session(route, target),
                self._settings.connect_timeout_s,
            )
        except TemporaryFailure as error:
            return Failure(error.reply)
        self._sessions.add(session)
        try:
            await session.opened
        except (TemporaryFailure, PermanentFailure) as error:
            return Failure(error.reply, session.relay, isinstance(error, PermanentFailure))
        except asyncio.CancelledError:
            session.give_up(_CLOSING)
            raise
        if not session.is_ready:
            return Failure(Reply(451, "4.4.2", f"lost connection with {target} after its hello"), session.relay)
        return session

    def _new_session(self, route: Route, target: Target) -> Session:
        core = ClientCore(self._hostname, lmtp=route.kind == "lmtp", chunking=self._settings.chunking)
        return Session(
            self, route.destination, target,
            core=core, settings=self._settings, deadlines=self._deadlines, outbox=self._outbox,
        )  # fmt: skip

    def _start(self, session: Session, attempt: Attempt, connect_s: float) -> None:
        attempt.sessions += 1
        attempt.connect_s += connect_s
        self._health.session_opened(session.destination)
        session.start(attempt)

    def _nowhere(self, attempt: Attempt, failure: Failure) -> None:
        """No host could be used, for now or for good."""
        if not attempt.sessions:
            self._health.connect_failed(attempt.route.destination, failure.reply)
        self._end(attempt, failure)

    def _end(self, attempt: Attempt, failure: Failure) -> None:
        attempt.settle_open("failed" if failure.is_permanent else "deferred", failure.reply, failure.relay)
        attempt.end()

    def ended(self, session: Session, attempt: Attempt) -> None:
        """Keep the session for the next message, or part; then tell the job, which may bring that next message."""
        if self._may_be_kept(session):
            session.wait_idle(self._settings.idle_reuse_s)
            self._idle.put(session)
        else:
            session.part()
        if attempt.open:
            self._anew(attempt)
        else:
            attempt.end()

    def _may_be_kept(self, session: Session) -> bool:
        settings = self._settings
        if self._is_closing or not settings.idle_reuse_s or len(self._idle) >= settings.idle_connections:
            return False
        return session.is_ready and not 0 < settings.messages_per_connection <= session.messages

    def _anew(self, attempt: Attempt) -> None:
        """On to a new session, as if there had been none: this one was stale or takes no more messages."""
        attempt.targets = None
        self._open(attempt)

    def broke(self, session: Session, attempt: Attempt, reply: Reply, *, was_stale: bool) -> None:
        """Go on with the next host where somebody is left to go on for, else tell the job."""
        self.lost(session)
        if was_stale and attempt.open:
            self._anew(attempt)
            return
        if reply.code == 421:
            self._health.connect_failed(session.destination, reply)
        attempt.failure = Failure(reply, session.relay)
        if attempt.open and attempt.sessions < self._settings.sessions_per_attempt:
            self._open(attempt)
        else:
            self._end(attempt, attempt.failure)

    def lost(self, session: Session) -> None:
        """Forget it."""
        self._idle.forget(session)
        self._sessions.discard(session)
        if not self._sessions:
            self._all_gone.set()
