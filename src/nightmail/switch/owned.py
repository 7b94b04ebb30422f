"""One queue that is ours, newest generation or adopted: its messages, from the log to their outcome and back.

Whatever a message waits for, it waits in exactly one place:

    in a round     attempts for it wait for a slot, for their claim to be durable, or for a transport
    in `waiting`   deferred, until its time has come
    held           until an operator releases it; it is only in the journal's state
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from nightmail.delivery.job import Body, Outcome, settle_all
from nightmail.errors import Corrupt, StoreUnavailable
from nightmail.journal.arrival import Arrival
from nightmail.journal.compaction import Compactor
from nightmail.journal.fetching import Fetcher
from nightmail.journal.ownership import Ownership
from nightmail.journal.records import AMBIGUOUS, FAILED, Accepted, Claimed, Held, Moved, Settled, Settlement
from nightmail.journal.segment import Header
from nightmail.journal.state import LiveMessage
from nightmail.journal.writer import Journal
from nightmail.mail.reply import Reply
from nightmail.queue.destinations import FRESH, REPORT, RETRY
from nightmail.queue.waiting import Waiting
from nightmail.switch.attempts import Attempt, Round
from nightmail.switch.fresh import FreshAllowance, FreshBody
from nightmail.switch.maillog import log_outcomes
from nightmail.switch.parts import Parts
from nightmail.switch.planning import Stuck
from nightmail.switch.reports import Reporter, Verdict
from nightmail.switch.settling import settle, withdraw
from nightmail.switch.telling import Teller

_LOAD_AT_ONCE = 8
_ROUNDS_LIMIT = 2_000
_DUE_STEP = 200
_STORE_RETRY_S = 5.0
_LEFT_OPEN = Reply(451, "4.4.2", "the attempt was under way when its switch ended; whether it was taken is not known")

log = structlog.get_logger()


def _stuck(each: Stuck) -> Outcome:
    return Outcome(each.recipient, "failed" if each.is_permanent else "deferred", each.reply)


class OwnedQueue:
    """Runs a queue for as long as it is ours.

    `pump` is called when a send slot may have become free. `remove_drop` makes sure, durably, that a drop file is
    gone, before its message's first claim.
    """

    def __init__(
        self,
        parts: Parts,
        owned: Ownership,
        reporter: Reporter,
        allowance: FreshAllowance,
        *,
        pump: Callable[[], None],
        remove_drop: Callable[[str], Awaitable[None]],
        on_fenced: Callable[[OwnedQueue, list[Arrival], str], None],
    ) -> None:
        self.name = owned.queue
        self.rounds: dict[str, Round] = {}
        self.waiting: Waiting[LiveMessage] = Waiting()
        self.journal = Journal(
            parts.store, parts.clock, parts.randomness, parts.store_settings, owned,
            is_busy=self._is_busy,
            on_fenced=lambda _, orphans, why: on_fenced(self, orphans, why),
        )  # fmt: skip
        self.journal.on_known = self._on_known
        self.fetcher = Fetcher(parts.store, owned.queue, owned.state)
        self._teller = Teller(self.journal, reporter)
        self._parts = parts
        self._reporter = reporter
        self._allowance = allowance
        self._pump = pump
        self._remove_drop = remove_drop
        self._compactor = Compactor(parts.store, parts.clock, self.journal, self.fetcher, owned.stale)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loading = 0
        self.is_stopping = False
        self.open_drops: set[str] = set()

    def start(self) -> asyncio.Task[None]:
        """Begin to write the log and to attempt what it holds; the task is the journal's writer."""
        for message in self.journal.state.messages.values():
            if message.drop:
                self.open_drops.add(message.id)
            if message.claimed or not message.held:
                self.waiting.wait(message, 0.0 if message.claimed or message.drop else message.next_attempt)
        self._spawn(self._compactor.run())
        return self.journal.start()

    async def stop(self) -> None:
        """Stop what runs beside the journal; the journal itself is stopped by its owner."""
        self.is_stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def prepare(self, round_: Round, recipients: tuple[int, ...]) -> None:
        """Make the attempts of a round, by the routes of this instant."""
        limit = self._parts.queue_settings.recipients_per_message
        round_.plan(recipients, self._parts.routing.snapshot, limit)

    def reserve(self, round_: Round) -> tuple[int, ...]:
        """Take send slots for as many attempts as there are slots; whom they are for (J8)."""
        destinations, now = self._parts.destinations, self._parts.clock.elapsed()
        reserved: tuple[int, ...] = ()
        for attempt in round_.attempts:
            attempt.has_slot = destinations.reserve(attempt.route.destination, now)
            if attempt.has_slot:
                reserved += attempt.recipients
        return reserved

    def unreserve(self, round_: Round) -> None:
        """Give the slots of a round back that will not begin."""
        for attempt in round_.attempts:
            self._release(attempt)

    def begin(self, round_: Round, message: LiveMessage) -> None:
        """The message is durable: send off what has a slot, let the rest wait for one."""
        round_.message = message
        round_.began = self._parts.clock.wall()
        self.rounds[round_.id] = round_
        if round_.stuck:
            self._settle(round_, [_stuck(each) for each in round_.stuck])
        fresh = FRESH if round_.number == 1 else RETRY
        for attempt in round_.attempts:
            if attempt.has_slot:
                self._deliver(attempt)
            else:
                self._enqueue(attempt, fresh if round_.envelope.sender else REPORT)

    def postpone(self, message: LiveMessage) -> None:
        """The message's drop file is to go before its first attempt: take it up from the log."""
        self.open_drops.add(message.id)
        self.waiting.wait(message, 0.0)

    def attempt_due(self, now: float) -> None:
        """Take up messages whose time has come, as many as memory allows at once; `now` is wall-clock seconds."""
        while not self.is_stopping and self._loading < _LOAD_AT_ONCE and len(self.rounds) < _ROUNDS_LIMIT:
            due = self.waiting.due(now, _DUE_STEP)
            if not due:
                return
            self._loading += 1
            self._spawn(self._take_up(due))

    def start_attempt(self, attempt: Attempt) -> None:
        """A waiting attempt got its slot: load its body, claim it, send it off."""
        attempt.has_slot = True
        body = attempt.round.body
        if body is None or (body.in_memory is None and not attempt.round.body_key):
            self._spawn(self._load_and_claim(attempt))
        else:
            self._claim(attempt)

    def ended(self, attempt: Attempt, outcomes: list[Outcome]) -> None:
        """A transport is done with an attempt."""
        self._release(attempt)
        if self.journal.is_fenced:
            self._fenced_outcomes(attempt, outcomes)
            return
        round_ = attempt.round
        if attempt.lost_right:
            record = withdraw(round_.id, attempt.recipients, self._parts.clock.wall())
            self.journal.append(record, lambda: self._settled(round_))
            return
        self._settle(round_, outcomes, attempt)

    def _settle(self, round_: Round, outcomes: list[Outcome], attempt: Attempt | None = None) -> None:
        parts = self._parts
        now = parts.clock.wall()
        route = attempt.route if attempt is not None else None
        record, outcomes = settle(
            round_.id, outcomes,
            attempts=round_.number, arrival=round_.arrival, now=now, backoff=parts.backoff,
            is_report=not round_.envelope.sender,
            holds_ambiguous=route is not None and route.on_ambiguous == "hold",
        )  # fmt: skip
        log_outcomes(parts.counters, round_, attempt, outcomes, now)
        self._write_down(round_, self._reporter.verdict(round_, record, outcomes, route, now))

    def _write_down(self, round_: Round, verdict: Verdict) -> None:
        """Settle, with a report in the same segment where one is due."""
        if not verdict.fates:
            self.journal.append(verdict.record, lambda: self._settled(round_))
        elif self._teller.gather(round_, verdict, lambda: self._settled(round_)):
            self._spawn(self._tell(round_))

    async def _tell(self, round_: Round) -> None:
        body = round_.body
        if body is None:
            body = await self._read_for_report(round_.message)
        await self._teller.tell(round_, body or FreshBody(b""))

    async def _read_for_report(self, message: LiveMessage) -> Body | None:
        while True:
            try:
                return self.fetcher.body(message, await self.fetcher.record(message))
            except Corrupt:
                return None
            except StoreUnavailable:
                await asyncio.sleep(_STORE_RETRY_S)

    def _settled(self, round_: Round) -> None:
        """An attempt's outcome is durable."""
        round_.outstanding -= 1
        if round_.outstanding <= 0:
            self._round_over(round_)

    def _round_over(self, round_: Round) -> None:
        if self.rounds.get(round_.id) is round_:
            del self.rounds[round_.id]
        if round_.on_over is not None:
            round_.on_over()
        self._allowance.give_back(round_.fresh_bytes)
        round_.fresh_bytes = 0
        message = self.journal.state.messages.get(round_.id)
        if message is None:
            if round_.body_key:
                self._compactor.condemn_body(round_.body_key)
        elif not message.held and message.id not in self.rounds:
            self._wait(message)

    def _wait(self, message: LiveMessage) -> None:
        until = message.next_attempt
        report_at = self._parts.backoff.delay_report_at(message.arrival)
        if report_at is not None and not message.delay_reported:
            until = min(until, max(report_at, self._parts.clock.wall()))
        self.waiting.wait(message, until)

    def _enqueue(self, attempt: Attempt, priority: int) -> None:
        """Let an attempt wait for a slot, unless its destination is being left alone."""
        round_ = attempt.round
        destinations = self._parts.destinations
        key = attempt.route.destination
        if destinations.blocked_until(key) is not None:
            self.defer(attempt, self._parts.health.reason(key))
            return
        if not round_.fresh_bytes and round_.body is not None and round_.body.in_memory is not None:
            round_.body = None
        destinations.enqueue(key, attempt, priority)
        self._pump()

    def defer(self, attempt: Attempt, reply: Reply) -> None:
        """The destination of a waiting attempt is being left alone."""
        self._settle(attempt.round, settle_all(attempt, "deferred", reply), attempt)

    def _claim(self, attempt: Attempt) -> None:
        round_ = attempt.round
        if self._is_gone(round_):
            self._release(attempt)
            self._settled(round_)
            return
        record = Claimed(round_.id, attempt.recipients)
        self.journal.append(record, lambda: self._deliver(attempt), urgent=True)

    def _deliver(self, attempt: Attempt) -> None:
        attempt.started = self._parts.clock.wall()
        self._parts.transports[attempt.route.kind].deliver(attempt.route, attempt)

    def _is_gone(self, round_: Round) -> bool:
        """Whether an operator ended or held the message meanwhile."""
        message = self.journal.state.messages.get(round_.id)
        return message is None or message.held

    def _release(self, attempt: Attempt) -> None:
        if attempt.has_slot:
            attempt.has_slot = False
            self._parts.destinations.release(attempt.route.destination)
            self._pump()

    def _fenced_outcomes(self, attempt: Attempt, outcomes: list[Outcome]) -> None:
        """The queue is another's: what we know can only be logged (J9)."""
        log_outcomes(self._parts.counters, attempt.round, attempt, outcomes, self._parts.clock.wall())

    async def _load_and_claim(self, attempt: Attempt) -> None:
        round_ = attempt.round
        message = round_.message
        try:
            record = await self.fetcher.record(message)
            body = self.fetcher.body(message, record)
            await body.load()
        except (StoreUnavailable, Corrupt) as error:
            self._release(attempt)
            self._unreadable(round_, attempt, error)
            return
        round_.body = body
        self._claim(attempt)

    def _unreadable(self, round_: Round, attempt: Attempt, error: StoreUnavailable | Corrupt) -> None:
        if isinstance(error, Corrupt):
            self._hold_corrupt(round_.id, error)
        record = withdraw(round_.id, attempt.recipients, self._parts.clock.wall() + _STORE_RETRY_S)
        self.journal.append(record, lambda: self._settled(round_))

    def _hold_corrupt(self, message_id: str, error: Corrupt) -> None:
        """A message that can't be read is kept for a person to look at (J14)."""
        log.error(
            "message unreadable", id=message_id, queue=self.name, reason=str(error),
            remedy="it is held; restore the object from a copy and release the message, or delete it",
        )  # fmt: skip
        self.journal.append(Held(message_id), urgent=True)

    async def _take_up(self, due: list[LiveMessage]) -> None:
        try:
            for message in due:
                if message.id not in self.rounds and message.id in self.journal.state.messages:
                    await self._take_up_one(message)
        finally:
            self._loading -= 1

    async def _take_up_one(self, message: LiveMessage) -> None:
        try:
            record = await self.fetcher.record(message)
            if message.drop:
                await self._remove_drop(record.envelope.drop)
                message.drop = False
                self.open_drops.discard(message.id)
        except Corrupt as error:
            self._hold_corrupt(message.id, error)
        except (StoreUnavailable, OSError) as error:
            log.warning("message not read", id=message.id, queue=self.name, reason=str(error))
            self.waiting.wait(message, self._parts.clock.wall() + _STORE_RETRY_S)
        else:
            self._begin_again(message, record)

    def _begin_again(self, message: LiveMessage, record: Accepted | Moved) -> None:
        """Begin a round for a message that waited; an attempt left open by another is ambiguous first (J8)."""
        if message.id in self.rounds or message.id not in self.journal.state.messages:
            return
        round_ = Round(self, message.id, record.envelope, message.arrival, message.attempts + 1)
        round_.message = message
        round_.body_key = record.body.key
        if record.body.key:
            round_.body = self.fetcher.body(message, record)
        if message.claimed:
            self._settle_open_claim(round_, message)
            return
        if message.held:
            return
        if not self._only_report_due(round_, message):
            self.prepare(round_, message.pending)
            self.begin(round_, message)

    def _settle_open_claim(self, round_: Round, message: LiveMessage) -> None:
        self.prepare(round_, message.claimed)
        now = self._parts.clock.wall()
        outcomes = [Outcome(index, "ambiguous", _LEFT_OPEN) for index in message.claimed]
        log_outcomes(self._parts.counters, round_, None, outcomes, now)
        results = tuple(Settlement(index, AMBIGUOUS, _LEFT_OPEN) for index in message.claimed)
        hold = any(attempt.route.on_ambiguous == "hold" for attempt in round_.attempts)
        round_.outstanding = 1
        self.rounds[round_.id] = round_
        record = Settled(round_.id, results, now, max(message.attempts, 1), hold=hold)
        self.journal.append(record, lambda: self._settled(round_), urgent=True)

    def _only_report_due(self, round_: Round, message: LiveMessage) -> bool:
        """Between two attempts only the report of the delay may be due."""
        now = self._parts.clock.wall()
        if message.next_attempt <= now or not self._reporter.is_delay_due(round_, now):
            return False
        reply = message.reply or _LEFT_OPEN
        record = Settled(round_.id, (), message.next_attempt, message.attempts, delay_reported=True)
        outcomes = [Outcome(index, "deferred", reply) for index in message.pending]
        round_.outstanding = 1
        self.rounds[round_.id] = round_
        self._write_down(round_, self._reporter.verdict(round_, record, outcomes, None, now))
        return True

    def bounce(self, message: LiveMessage, record: Accepted | Moved, reply: Reply) -> asyncio.Future[None]:
        """An operator gives a message up: its sender is told; done once that is durable."""
        round_ = Round(self, message.id, record.envelope, message.arrival, message.attempts + 1)
        round_.message = message
        round_.outstanding = 1
        self.waiting.cancel(message)
        outcomes = [Outcome(index, "failed", reply) for index in message.pending]
        now = self._parts.clock.wall()
        log_outcomes(self._parts.counters, round_, None, outcomes, now)
        results = tuple(Settlement(index, FAILED, reply) for index in message.pending)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        round_.on_over = partial(done.set_result, None)
        self._write_down(round_, self._reporter.verdict(round_, Settled(round_.id, results), outcomes, None, now))
        return done

    def resume(self, message: LiveMessage) -> None:
        """A message is held no more: attempt it now."""
        if message.id in self.journal.state.messages and message.id not in self.rounds:
            self.waiting.wait(message, 0.0)

    @property
    def is_delivering(self) -> bool:
        """Whether an attempt is with a transport or its outcome not yet durable."""
        return any(attempt.has_slot for round_ in self.rounds.values() for attempt in round_.attempts)

    @property
    def is_drained(self) -> bool:
        """Whether nothing is left to do or to write down."""
        return not self.journal.state.messages and not self.rounds and self.journal.is_quiet

    def _is_busy(self) -> bool:
        """Whether a delivery is in flight or due, which sets the promise (J6)."""
        return bool(self.rounds)

    def _on_known(self, _header: Header) -> None:
        self._parts.counters.segments += 1

    def _spawn(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
