"""One queue that is ours, newest generation or adopted: its messages, from the log to their outcome and back.

Whatever a message waits for, it waits in exactly one place:

    in a round     attempts for it wait for a slot, for their claim to be durable, or for a transport
    in `waiting`   deferred, until its time has come
    held           until an operator releases it; it is only in the journal's state
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import structlog

from nightmail.delivery.job import Outcome, settle_all
from nightmail.errors import SwitchError
from nightmail.journal.arrival import Arrival
from nightmail.journal.compaction import Compactor
from nightmail.journal.fetching import Fetcher
from nightmail.journal.ownership import Ownership
from nightmail.journal.records import FAILED, Accepted, Claimed, Moved, Settled, Settlement
from nightmail.journal.segment import Header
from nightmail.journal.state import LiveMessage
from nightmail.journal.writer import Journal
from nightmail.mail.reply import Reply
from nightmail.queue.destinations import FRESH, REPORT, RETRY
from nightmail.queue.waiting import Waiting
from nightmail.switch.attempts import Attempt, Round
from nightmail.switch.fresh import FreshAllowance
from nightmail.switch.maillog import log_outcomes
from nightmail.switch.parts import Parts
from nightmail.switch.planning import Stuck
from nightmail.switch.readback import Readback
from nightmail.switch.reports import Reporter, Verdict
from nightmail.switch.settling import settle, withdraw
from nightmail.switch.telling import Teller

ROUNDS_LIMIT = 10_000
_SORT_STEP = 2_000
_ALARM_EVERY_S = 60.0

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
        spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]],
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
        self._teller = Teller(self.journal, reporter, self.fetcher)
        self._parts = parts
        self._reporter = reporter
        self._allowance = allowance
        self._pump = pump
        self._compactor = Compactor(parts.store, parts.clock, self.journal, self.fetcher, owned.stale)
        self._spawn_task = spawn
        self._tasks: set[asyncio.Task[Any]] = set()
        self.is_stopping = False
        self._next_alarm = 0.0
        self.open_drops: set[str] = set()
        self._bouncing: set[str] = set()
        self._promises: set[asyncio.Future[None]] = set()
        self.readback = Readback(self, parts, reporter, remove_drop)

    def start(self) -> asyncio.Task[None]:
        """Begin to write the log and to attempt what it holds; the task is the journal's writer."""
        messages = self.journal.state.messages.values()
        # Nothing is known of what was under way, and what has a drop file may not be picked up again: they go first.
        urgent = [message for message in messages if message.claimed or message.drop]
        self.open_drops.update(message.id for message in urgent if message.drop)
        self.waiting.wait_all(urgent, lambda _: 0.0)
        idle = [message for message in messages if not (message.claimed or message.drop or message.held)]
        self.waiting.wait_all(idle, lambda message: message.next_attempt)
        if self.waiting.sort_in(_SORT_STEP):
            self.spawn(self._sort_in())
        self.spawn(self._compactor.run())
        return self.journal.start()

    async def _sort_in(self) -> None:
        is_more = True
        while is_more:
            await asyncio.sleep(0)
            is_more = self.waiting.sort_in(_SORT_STEP)

    async def stop(self) -> None:
        """Stop what runs beside the journal; the journal itself is stopped by its owner."""
        self.is_stopping = True
        for attempt in [attempt for round_ in self.rounds.values() for attempt in round_.attempts]:
            if not attempt.started:
                self._release(attempt)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for round_ in self.rounds.values():
            self._let_go_of_body(round_)

    def break_promises(self) -> None:
        """The log is written no more: whoever waits for something to be durable is told so."""
        for promise in list(self._promises):
            if not promise.done():
                promise.set_exception(SwitchError(f"queue {self.name} was given up before this was written down"))

    def promise(self) -> asyncio.Future[None]:
        """Something to be waited for; it is broken if the queue is given up before it is kept."""
        promise: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._promises.add(promise)
        promise.add_done_callback(self._promises.discard)
        return promise

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
        if round_.is_unplanned:
            self._put_off(round_)
            return
        if not round_.stuck and len(self.rounds) >= ROUNDS_LIMIT and not any(a.has_slot for a in round_.attempts):
            self._put_off(round_)
            return
        self.rounds[round_.id] = round_
        if round_.stuck:
            self._settle(round_, [_stuck(each) for each in round_.stuck])
        fresh = FRESH if round_.number == 1 else RETRY
        for attempt in round_.attempts:
            if attempt.has_slot:
                self._deliver_claimed(attempt)
            else:
                self._enqueue(attempt, fresh if round_.envelope.sender else REPORT)

    def _put_off(self, round_: Round) -> None:
        """Too much is in memory, or a route has to be looked up: the message is read back for it."""
        self._let_go_of_body(round_)
        self.waiting.wait(round_.message, 0.0)

    def _deliver_claimed(self, attempt: Attempt) -> None:
        if self.is_stopping:
            self.withdraw(attempt)
        elif attempt.round.body is None:
            self.spawn(self.readback.load(attempt, self._deliver))
        else:
            self._deliver(attempt)

    def postpone(self, message: LiveMessage) -> None:
        """The message's drop file is to go before its first attempt: take it up from the log."""
        self.open_drops.add(message.id)
        self.waiting.wait(message, 0.0)

    def start_attempt(self, attempt: Attempt) -> None:
        """A waiting attempt got its slot: load its body, claim it, send it off."""
        attempt.has_slot = True
        if self.journal.is_fenced or self.is_stopping:
            self._release(attempt)
        elif attempt.round.body is None:
            self.spawn(self.readback.load(attempt, self._claim))
        else:
            self._claim(attempt)

    def ended(self, attempt: Attempt, outcomes: list[Outcome]) -> None:
        """A transport is done with an attempt."""
        self._release(attempt)
        if self.journal.is_over:
            self._fenced_outcomes(attempt, outcomes)
            return
        round_ = attempt.round
        if attempt.damage is not None:
            self.readback.hold_corrupt(round_.id, attempt.damage)
        was_broken_off = attempt.lost_right or attempt.damage is not None
        if was_broken_off and all(outcome.kind == "deferred" for outcome in outcomes):
            self.withdraw(attempt)
        else:
            self._settle(round_, outcomes, attempt)

    def withdraw(self, attempt: Attempt, delay_s: float = 0.0) -> None:
        """Nothing was attempted: take the claim back; the message is due again soon."""
        self._release(attempt)
        round_ = attempt.round
        record = withdraw(round_.id, attempt.recipients, self._parts.clock.wall() + delay_s)
        self.journal.append(record, lambda: self.settled(round_))

    def _settle(self, round_: Round, outcomes: list[Outcome], attempt: Attempt | None = None) -> None:
        parts = self._parts
        message = self.journal.state.messages.get(round_.id)
        # What an operator ended meanwhile is ended: no record of it and no report, but a line that it was too late.
        pending = message.pending if message is not None else ()
        now = parts.clock.wall()
        if late := [outcome for outcome in outcomes if outcome.index not in pending and outcome.kind == "delivered"]:
            log_outcomes(parts.counters, round_, attempt, late, now)
        outcomes = [outcome for outcome in outcomes if outcome.index in pending]
        if not outcomes:
            self.settled(round_)
            return
        route = attempt.route if attempt is not None else None
        settling = settle(
            round_.id, outcomes,
            attempts=round_.number, arrival=round_.arrival, now=now, backoff=parts.backoff,
            is_report=not round_.envelope.sender,
            holds_ambiguous=route is not None and route.on_ambiguous == "hold",
        )  # fmt: skip
        log_outcomes(parts.counters, round_, attempt, settling.outcomes, now)
        self.write_down(round_, self._reporter.verdict(round_, settling.record, settling.outcomes, route, now))

    def settle_without_attempt(self, round_: Round, outcomes: list[Outcome]) -> None:
        """Write down what became of recipients of a round that is not under way, and has no attempt."""
        round_.outstanding = 1
        self.rounds[round_.id] = round_
        self._settle(round_, outcomes)

    def write_down(self, round_: Round, verdict: Verdict) -> None:
        """Settle, with a report in the same segment where one is due."""
        if not verdict.fates:
            self.journal.append(verdict.record, lambda: self.settled(round_))
        elif self._teller.gather(round_, verdict, lambda: self.settled(round_)):
            self.spawn(self._teller.tell(round_))

    def settled(self, round_: Round) -> None:
        """An attempt's outcome is durable."""
        round_.outstanding -= 1
        if round_.outstanding <= 0:
            self._round_over(round_)
        elif not round_.fresh_bytes and not any(attempt.has_slot for attempt in round_.attempts):
            # It was read back, and is again for those that still wait for a slot.
            round_.body = None

    def _round_over(self, round_: Round) -> None:
        if self.rounds.get(round_.id) is round_:
            del self.rounds[round_.id]
        if round_.on_over is not None:
            round_.on_over()
        self._let_go_of_body(round_)
        # Rounds and attempts name each other: apart, they are freed at once and not by the collector.
        round_.attempts = []
        message = self.journal.state.messages.get(round_.id)
        if message is not None and not message.held and message.id not in self.rounds:
            self._wait(message)

    def _let_go_of_body(self, round_: Round) -> None:
        round_.body = None
        self._allowance.give_back(round_.fresh_bytes)
        round_.fresh_bytes = 0

    def _wait(self, message: LiveMessage) -> None:
        until = message.next_attempt
        report_at = self._parts.backoff.delay_report_at(message.arrival)
        if report_at is not None and not message.delay_reported:
            until = min(until, max(report_at, self._parts.clock.wall()))
        self.waiting.wait(message, until)

    def _enqueue(self, attempt: Attempt, priority: int) -> None:
        """Let an attempt wait for a slot, unless its destination is being left alone."""
        destinations = self._parts.destinations
        key = attempt.route.destination
        if destinations.is_blocked(key, self._parts.clock.elapsed()):
            self.defer(attempt, self._parts.health.reason(key))
            return
        destinations.enqueue(key, attempt, priority)
        self._pump()

    def defer(self, attempt: Attempt, reply: Reply) -> None:
        """The destination of a waiting attempt is being left alone."""
        self._settle(attempt.round, settle_all(attempt, "deferred", reply), attempt)

    def _claim(self, attempt: Attempt) -> None:
        round_ = attempt.round
        if self._is_gone(round_):
            self._release(attempt)
            self.settled(round_)
            return
        record = Claimed(round_.id, attempt.recipients)
        self.journal.append(record, lambda: self._deliver(attempt))

    def _deliver(self, attempt: Attempt) -> None:
        if self.is_stopping or self._is_gone(attempt.round):
            self.withdraw(attempt)
            return
        attempt.started = self._parts.clock.wall()
        attempt.open_body()
        try:
            self._parts.transports[attempt.route.kind].deliver(attempt.route, attempt)
        except Exception as error:  # an unknown failure of a delivery is temporary, and ends no process
            log.exception("delivery failed", id=attempt.id, remedy="it is tried again; report this")
            reply = Reply(451, "4.3.0", f"internal error: {type(error).__name__}")
            self.ended(attempt, settle_all(attempt, "deferred", reply))

    def _is_gone(self, round_: Round) -> bool:
        """Whether an operator ended or held the message meanwhile."""
        message = self.journal.state.messages.get(round_.id)
        return message is None or message.held or round_.id in self._bouncing

    def _release(self, attempt: Attempt) -> None:
        if attempt.has_slot:
            attempt.has_slot = False
            self._parts.destinations.release(attempt.route.destination)
            self._pump()

    def _fenced_outcomes(self, attempt: Attempt, outcomes: list[Outcome]) -> None:
        """The queue is another's: what we know can only be logged (J9)."""
        log_outcomes(self._parts.counters, attempt.round, attempt, outcomes, self._parts.clock.wall())

    def bounce(self, message: LiveMessage, record: Accepted | Moved, reply: Reply) -> asyncio.Future[None]:
        """An operator gives a message up: its sender is told; done once that is durable."""
        done = self.promise()
        if message.id in self._bouncing:
            done.set_result(None)
            return done
        self._bouncing.add(message.id)
        round_ = Round(self, message.id, record.envelope, message.arrival, message.attempts + 1)
        round_.message = message
        round_.outstanding = 1
        self.waiting.cancel(message)
        outcomes = [Outcome(index, "failed", reply) for index in message.pending]
        now = round_.began = self._parts.clock.wall()
        log_outcomes(self._parts.counters, round_, None, outcomes, now)
        results = tuple(Settlement(index, FAILED, reply) for index in message.pending)
        round_.on_over = partial(self._bounced, message.id, done)
        self.write_down(round_, self._reporter.verdict(round_, Settled(round_.id, results), outcomes, None, now))
        return done

    def _bounced(self, message_id: str, done: asyncio.Future[None]) -> None:
        self._bouncing.discard(message_id)
        if not done.done():
            done.set_result(None)

    def resume(self, message: LiveMessage) -> None:
        """A message is held no more: attempt it now."""
        if message.id in self.journal.state.messages and message.id not in self.rounds:
            self.waiting.wait(message, 0.0)

    @property
    def is_delivering(self) -> bool:
        """Whether an attempt is with a transport, or a report on its way into the log."""
        return self._teller.is_busy or any(
            attempt.has_slot for round_ in self.rounds.values() for attempt in round_.attempts
        )

    @property
    def is_drained(self) -> bool:
        """Whether nothing is left to do or to write down."""
        return not self.journal.state.messages and not self.rounds and self.journal.is_quiet

    def _is_busy(self) -> bool:
        """Whether a delivery is in flight or due, which sets the promise (J6)."""
        return bool(self.rounds)

    def _on_known(self, _header: Header) -> None:
        self._parts.counters.segments += 1
        if self.journal.put_took_s > self._parts.store_settings.lease_s / 2:
            self._alarm_of_slowness()

    def _alarm_of_slowness(self) -> None:
        """Twice as slow, and deliveries stop for want of the right to deliver (J6): said once in a while."""
        parts = self._parts
        parts.counters.slow_puts += 1
        if parts.clock.elapsed() >= self._next_alarm:
            self._next_alarm = parts.clock.elapsed() + _ALARM_EVERY_S
            log.warning("put slow", queue=self.name, took_s=self.journal.put_took_s,
                        remedy="see to the store, or set [store] lease_s to what it can keep")  # fmt: skip

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something for as long as the queue is ours."""
        task = self._spawn_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
