"""Taking messages up again that waited in the log: their envelopes and bodies are read back when they are needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import structlog

from nightmail.delivery.job import Body, Outcome
from nightmail.errors import Corrupt, StoreUnavailable
from nightmail.journal.records import AMBIGUOUS, DELIVERED, Accepted, Held, Moved, Settled, Settlement
from nightmail.journal.state import LiveMessage
from nightmail.mail.envelope import Envelope
from nightmail.mail.reply import Reply
from nightmail.switch.attempts import Attempt, Round
from nightmail.switch.maillog import log_outcomes
from nightmail.switch.parts import Parts
from nightmail.switch.planning import look_at_routes
from nightmail.switch.reports import Reporter

if TYPE_CHECKING:
    from nightmail.switch.owned import OwnedQueue

_LOAD_AT_ONCE = 8
_ROUNDS_LIMIT = 2_000
_STEP = 200
_LINE_LIMIT = 1_000
_FULL_RETRY_S = 30.0
_STORE_RETRY_S = 5.0
_POLICY_RETRY_S = 5.0
_LONG_DUE = 1.0  # since 1970: before all that waits for a time, behind the open claims, which wait for none
_LEFT_OPEN = Reply(451, "4.4.2", "the attempt was under way when its switch ended; whether it was taken is not known")

log = structlog.get_logger()


class Readback:
    """Begins rounds for the messages of a queue whose time has come.

    `remove_drop` makes sure, durably, that a drop file is gone.
    """

    def __init__(
        self, queue: OwnedQueue, parts: Parts, reporter: Reporter, remove_drop: Callable[[str], Awaitable[None]]
    ) -> None:
        self._queue = queue
        self._parts = parts
        self._reporter = reporter
        self._remove_drop = remove_drop
        self._loading = 0
        self._begun: set[str] = set()
        self._is_look_planned = False

    def attempt_due(self, now: float) -> None:
        """Take up messages whose time has come, as many as memory allows at once; `now` is wall-clock seconds."""
        queue = self._queue
        while not queue.is_stopping and self._loading < _LOAD_AT_ONCE and self._has_room():
            due = queue.waiting.due(now, _STEP)
            if not due:
                return
            self._loading += 1
            queue.spawn(self._take_up(due))

    def _has_room(self) -> bool:
        """Whether more messages may be taken up; fresh ones that fill their destinations' lines do not count."""
        if len(self._begun) >= _ROUNDS_LIMIT:
            self._begun &= self._queue.rounds.keys()
        return len(self._begun) < _ROUNDS_LIMIT

    async def load(self, attempt: Attempt, ready: Callable[[Attempt], None]) -> None:
        """Read the body of an attempt back, then go on with `ready`."""
        round_ = attempt.round
        try:
            record = await self._queue.fetcher.record(round_.message)
            body = self._queue.fetcher.body(round_.message, record)
            await body.load()
        except Corrupt as error:
            self.hold_corrupt(round_.id, error)
            self._queue.withdraw(attempt)
        except StoreUnavailable:
            self._queue.withdraw(attempt, _STORE_RETRY_S)
        else:
            round_.body = body
            ready(attempt)

    async def clear_drop(self, message: LiveMessage) -> None:
        """Make sure that the drop file of a message is gone, before the message is ended or held.

        One that can't be read does not name its drop file: that stays, and is picked up as another message.

        Raises:
            StoreUnavailable: the message can't be read now, or its file can't be removed.
        """
        if not message.drop:
            return
        try:
            await self._forget_drop(message, await self._queue.fetcher.record(message))
        except Corrupt:
            self._queue.open_drops.discard(message.id)
        except OSError as error:
            raise StoreUnavailable(f"the drop file of message {message.id} can't be removed: {error}") from error

    async def _forget_drop(self, message: LiveMessage, record: Accepted | Moved) -> None:
        """Remove a message's drop file; from now on it is like any other. Raises: StoreUnavailable, OSError."""
        await self._remove_drop(record.envelope.drop)
        message.drop = False
        self._queue.open_drops.discard(message.id)

    def hold_corrupt(self, message_id: str, error: Corrupt, *, has_drop: bool = False) -> None:
        """A message that can't be read is kept for a person to look at (J14)."""
        remedy = "restore the object from a copy and release the message, or delete it"
        if has_drop:
            remedy = "its drop file, if still there, is picked up as another message: delete this one"
        log.error(
            "message unreadable", id=message_id, queue=self._queue.name, reason=str(error),
            remedy=f"it is held; {remedy}",
        )  # fmt: skip
        self._queue.journal.append(Held(message_id), urgent=True)

    async def _take_up(self, due: list[LiveMessage]) -> None:
        queue = self._queue
        try:
            for message in due:
                if message.id not in queue.rounds and message.id in queue.journal.state.messages:
                    await self._take_up_one(message)
        finally:
            self._loading -= 1

    async def _take_up_one(self, message: LiveMessage) -> None:
        queue = self._queue
        try:
            record = await queue.fetcher.record(message)
            if message.drop:
                await self._forget_drop(message, record)
            if record.envelope.is_unexpanded and not message.claimed:
                await self._readdress(message, record.envelope)
                return
        except Corrupt as error:
            self.hold_corrupt(message.id, error, has_drop=message.drop)
            # Nobody can tell which file it was: it holds up the others no longer.
            queue.open_drops.discard(message.id)
        except (StoreUnavailable, OSError) as error:
            log.warning("message not read", id=message.id, queue=queue.name, reason=str(error))
            queue.waiting.wait(message, self._parts.clock.wall() + _STORE_RETRY_S)
        else:
            addresses = [record.envelope.recipients[index].address for index in message.pending]
            await self._parts.routing.ask(partial(look_at_routes, addresses))
            self._begin(message, record)

    async def _readdress(self, message: LiveMessage, envelope: Envelope) -> None:
        """Look up what the recipient of a report stands for; the report ends, and begins anew for them, in one segment.

        Raises:
            Corrupt, StoreUnavailable: it can't be read.
        """
        queue, address = self._queue, envelope.recipients[0].address
        found = await self._parts.routing.ask(lambda snapshot: snapshot.accept(address, may_relay=True))
        record = await queue.fetcher.record(message)
        data = await queue.fetcher.body(message, record).read(0, record.body.size_bytes)
        if message.held or message.id in queue.rounds or message.id not in queue.journal.state.messages:
            return
        round_ = self._round(message, envelope, None)
        if isinstance(found, Reply):
            outcome = Outcome(0, "failed" if found.is_permanent else "deferred", found)
            queue.settle_without_attempt(round_, [outcome])
            return
        report = self._reporter.readdressed(round_, found, data)
        log.info("report readdressed", id=message.id, to=[f"<{each}>" for each in found.recipients], new_id=report.id)
        round_.outstanding = 1
        queue.rounds[round_.id] = round_
        ended = Settled(round_.id, (Settlement(0, DELIVERED),))
        queue.journal.append(ended, lambda: queue.settled(round_), report=report, urgent=True)

    def _begin(self, message: LiveMessage, record: Accepted | Moved) -> None:
        """Begin a round for a message that waited; an attempt left open by another is ambiguous first (J8)."""
        queue = self._queue
        if message.id in queue.rounds or message.id not in queue.journal.state.messages:
            return
        body = queue.fetcher.body(message, record) if record.body.key else None
        round_ = self._round(message, record.envelope, body)
        if message.claimed:
            self._settle_open_claim(round_, message)
        elif not message.held and not self._only_report_due(round_, message):
            self._attempt(round_, message, message.pending)

    def _round(self, message: LiveMessage, envelope: Envelope, body: Body | None) -> Round:
        round_ = Round(self._queue, message.id, envelope, message.arrival, message.attempts + 1)
        round_.message = message
        round_.body = body
        return round_

    def _attempt(self, round_: Round, message: LiveMessage, recipients: tuple[int, ...]) -> None:
        queue = self._queue
        queue.prepare(round_, recipients)
        if any(map(self._is_full, round_.attempts)):
            queue.waiting.wait(message, self._parts.clock.wall() + _FULL_RETRY_S)
            return
        self._begun.add(message.id)
        queue.begin(round_, message)

    def _is_full(self, attempt: Attempt) -> bool:
        """Whether so much waits for the destination already that this message may as well wait in the log."""
        return self._parts.destinations.waiting_at(attempt.route.destination) >= _LINE_LIMIT

    def _settle_open_claim(self, round_: Round, message: LiveMessage) -> None:
        queue = self._queue
        queue.prepare(round_, message.claimed)
        now = round_.began = self._parts.clock.wall()
        outcomes = [Outcome(index, "ambiguous", _LEFT_OPEN) for index in message.claimed]
        if not round_.is_policy_known:
            self._leave_open(round_, message, outcomes, now)
            return
        log_outcomes(self._parts.counters, round_, None, outcomes, now)
        results = tuple(Settlement(index, AMBIGUOUS, _LEFT_OPEN) for index in message.claimed)
        hold = any(attempt.route.on_ambiguous == "hold" for attempt in round_.attempts)
        round_.outstanding = 1
        queue.rounds[round_.id] = round_
        record = Settled(round_.id, results, _LONG_DUE, attempts=max(message.attempts, 1), hold=hold)
        queue.journal.append(record, lambda: self._go_on(round_), urgent=True)

    def _leave_open(self, round_: Round, message: LiveMessage, outcomes: list[Outcome], now: float) -> None:
        """Whether a claim is to be held can't be known now: it stays open, in the log too, as long as patience lasts.

        Whoever runs the queue next finds it as we did. The recipients without a claim do not wait for it.
        """
        queue = self._queue
        companions = tuple(index for index in message.pending if index not in message.claimed)
        if message.held:
            return  # it is looked at again when an operator releases it
        if now >= self._parts.backoff.expires_at(message.arrival, is_report=not round_.envelope.sender):
            queue.settle_without_attempt(round_, outcomes)
        elif self._reporter.is_delay_due(round_, now):
            self._report_delay(round_, message, now)
        elif companions and message.next_attempt <= now:
            self._attempt(self._round(message, round_.envelope, round_.body), message, companions)
        else:
            queue.waiting.wait(message, now + _POLICY_RETRY_S)

    def _go_on(self, round_: Round) -> None:
        """That an attempt is ambiguous is durable; the message has waited long enough, and so have its companions."""
        self._queue.settled(round_)
        if not self._is_look_planned:
            self._is_look_planned = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._is_look_planned = False
        self.attempt_due(self._parts.clock.wall())

    def _only_report_due(self, round_: Round, message: LiveMessage) -> bool:
        """Between two attempts only the report of the delay may be due."""
        now = self._parts.clock.wall()
        if message.next_attempt <= now or not self._reporter.is_delay_due(round_, now):
            return False
        self._report_delay(round_, message, now)
        return True

    def _report_delay(self, round_: Round, message: LiveMessage, now: float) -> None:
        record = Settled(round_.id, (), message.next_attempt, message.attempts, delay_reported=True)
        outcomes = [Outcome(index, "deferred", message.reply or _LEFT_OPEN) for index in message.pending]
        round_.began = now
        round_.outstanding = 1
        self._queue.rounds[round_.id] = round_
        self._queue.write_down(round_, self._reporter.verdict(round_, record, outcomes, None, now))
