"""The one writer of a journal: group commit, the right to deliver, and the moment of being fenced (J1, J3, J6, J9).

One segment is in flight, never two. What arrives meanwhile waits and goes into the next one, so the store's latency
sets how many messages share a put and a lone message costs exactly one. Results of deliveries are in no hurry: they
ride with the next segment and are written by themselves only after 5 ms of nothing else; claims after 1 ms.

    collect what waits -> seal -> put until the outcome is known -> apply to the state -> answer the waiters
                                                                                       -> deliver, once the next put
                                                                                          is under way

Who waits behind a put that does not end is refused after `commit_wait_s`; who waits in it is left unanswered after
`answer_timeout_s`, for the message may still land.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from nightmail.errors import Fenced, StoreUnavailable
from nightmail.journal.arrival import Arrival
from nightmail.journal.batch import Batch, Done, Entry, Move, Sequel
from nightmail.journal.keys import slot_key
from nightmail.journal.ownership import Ownership, put_slot
from nightmail.journal.records import Accepted, Claimed, Moved, Record, Tick, Voided
from nightmail.journal.segment import (
    INLINE_BODY_BYTES,
    NONCE_BYTES,
    SEGMENT_LIMIT_BYTES,
    Header,
    encode_segment,
    flag_of,
)
from nightmail.journal.state import QueueState
from nightmail.store.protocol import PutBroken, PutFailed, Store
from nightmail.store.settings import StoreSettings
from nightmail.world import Clock, Randomness

_SETTLE_LINGER_S = 0.005
_CLAIM_LINGER_S = 0.001
_WAITERS_LOOK_S = 0.5
_RETRY_FIRST_S = 0.1
_RETRY_MAX_S = 2.0
_BACKLOG_LIMIT = 10_000
_CUT_OFF_LEASES = 3
# From here on another message might not fit.
_FULL_BYTES = SEGMENT_LIMIT_BYTES - INLINE_BODY_BYTES

_NEVER = float("inf")


class Journal:
    """A queue that is ours: takes arrivals and records in, and tells whether we may deliver.

    `is_busy` tells whether a delivery is in flight or due, which sets the promise. `on_fenced` is called once, with
    the arrivals that provably are not in the log.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        randomness: Randomness,
        settings: StoreSettings,
        owned: Ownership,
        *,
        is_busy: Callable[[], bool],
        on_fenced: Callable[[Journal, list[Arrival], str], None],
    ) -> None:
        self.name = owned.queue
        self.state: QueueState = owned.state
        self.epoch = owned.epoch
        self.next_slot = owned.next_slot
        self.floor = owned.floor
        self.is_fenced = False
        self.fault = ""
        self.put_took_s = 0.0
        self._no_put_since = _NEVER
        self.moves: deque[Move] = deque()
        self.on_known: Callable[[Header], None] | None = None
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._settings = settings
        self._is_busy = is_busy
        self._on_fenced = on_fenced
        self._arrivals: deque[Arrival] = deque()
        self._entries: deque[Entry] = deque()
        self._in_flight: Batch | None = None
        self._sequels: deque[Sequel] = deque()
        self._failed: asyncio.Future[None] | None = None
        self._started = owned.started
        self._promise_s = owned.promise_ms / 1000
        self._right_until = self._right_from(self._started, self._promise_s)
        self._put_began = 0.0
        self._urgent = False
        self._linger: asyncio.TimerHandle | None = None
        self._linger_until = _NEVER
        self._waker: asyncio.Future[None] | None = None
        self._looker: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._stopping = False
        self._last: Record | None = None

    def start(self) -> asyncio.Task[None]:
        """Begin to write; the task ends when the journal is stopped or fenced, or with an error nobody foresaw."""
        loop = asyncio.get_running_loop()
        self._failed = loop.create_future()
        self._task = loop.create_task(self._work(self._failed), name=f"journal {self.name}")
        self._look_at_waiters()
        return self._task

    def accept(self, arrival: Arrival) -> None:
        """Take a message in; it is answered by one of the arrival's methods."""
        if self.is_fenced or self._stopping or len(self._arrivals) >= _BACKLOG_LIMIT:
            arrival.refused(StoreUnavailable(f"queue {self.name} takes no mail at the moment"))
            return
        self._arrivals.append(arrival)
        self._hurry()

    def append(
        self, record: Record, done: Done | None = None, *, report: Arrival | None = None, urgent: bool = False
    ) -> None:
        """Write a record down; `done` is called once it is durable, never if the queue is lost to another owner.

        `report` is accepted in the same segment (J13).
        """
        self._entries.append(Entry(record, done, report))
        if urgent:
            self._hurry()
        else:
            self._linger_for(_CLAIM_LINGER_S if type(record) is Claimed else _SETTLE_LINGER_S)

    def move(self, move: Move) -> None:
        """Carry a message forward with the next segment."""
        self.moves.append(move)
        self._hurry()

    def may_deliver(self) -> bool:
        """Whether the right to deliver lasts at this instant (J6). Who gives a queue up delivers no more of it."""
        return not (self.is_fenced or self._stopping) and self._clock.elapsed() < self._right_until

    @property
    def waiting(self) -> int:
        """How many arrivals wait for their place, those of the segment in flight not counted."""
        return len(self._arrivals)

    @property
    def is_stuck(self) -> bool:
        """Whether a put has been under way for longer than anybody behind it would be left waiting."""
        return self._in_flight is not None and self._clock.elapsed() - self._put_began > self._settings.commit_wait_s

    @property
    def is_over(self) -> bool:
        """Whether nothing is written any more: the queue was lost, given up or closed."""
        return self.is_fenced or (self._task is not None and self._task.done())

    @property
    def is_cut_off(self) -> bool:
        """Whether no put has got through for so long that the queue is better off with somebody else."""
        too_long_s = max(self._settings.commit_wait_s, _CUT_OFF_LEASES * self._settings.lease_s)
        return self._clock.elapsed() - self._no_put_since > too_long_s

    @property
    def is_quiet(self) -> bool:
        """Whether nothing waits for a place in the log and nothing is on its way there."""
        return not (self._entries or self._arrivals or self.moves or self._in_flight or self._sequels)

    async def stop(self, last: Record | None = None) -> None:
        """Write down what waits, then `last`, and stop. Ends also when the queue is lost to another owner.

        `last` has a segment of its own, behind all that the others call for, and nothing is written behind it. Of two
        that are asked for, the first is written.
        """
        if not self._stopping:
            self._last = last
        self._stopping = True
        self._hurry()
        if self._task is not None:
            await asyncio.wait([self._task])
        self._cancel_timers()

    def abandon(self) -> None:
        """Stop writing at once; what was in flight may or may not be in the log."""
        self.is_fenced = True
        for task in (self._writing, self._task):
            if task is not None:
                task.cancel()
        self._cancel_timers()

    def _cancel_timers(self) -> None:
        for timer in (self._linger, self._looker):
            if timer is not None:
                timer.cancel()
        self._linger = self._looker = None

    def _hurry(self) -> None:
        self._urgent = True
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    def _linger_for(self, delay_s: float) -> None:
        """Write what waits when so much time has passed, if nothing that hurries takes it along before."""
        until = self._clock.elapsed() + delay_s
        if until < self._linger_until:
            self._linger_until = until
            if self._in_flight is None:
                self._wind_linger(until)

    def _wind_linger(self, until: float) -> None:
        if self._linger is not None:
            self._linger.cancel()
        self._linger = asyncio.get_running_loop().call_later(until - self._clock.elapsed(), self._lingered)

    def _lingered(self) -> None:
        self._linger = None
        if self._in_flight is None and self._entries:
            self._hurry()

    async def _work(self, failed: asyncio.Future[None]) -> None:
        """Write, and end at once with what went wrong beside that, however long a put is under way."""
        self._writing = writing = asyncio.get_running_loop().create_task(self._write())
        try:
            await asyncio.wait([writing, failed], return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                failed.result()
            writing.result()
        finally:
            writing.cancel()

    async def _write(self) -> None:
        delay_s = _RETRY_FIRST_S
        try:
            while True:
                await self._until_due()
                is_last = self._stopping and await self._is_done()
                if is_last and self._last is None:
                    return
                batch = self._seal_last(self._last) if is_last and self._last is not None else self._seal()
                try:
                    await self._put(batch)
                except PutFailed as error:
                    self._take_back(batch, error)
                    await asyncio.sleep(delay_s)
                    delay_s = min(2 * delay_s, _RETRY_MAX_S)
                    continue
                if is_last:
                    return
                delay_s = _RETRY_FIRST_S
        except (Fenced, PutBroken) as error:
            self._fenced(error)

    async def _is_done(self) -> bool:
        """Whether nothing is left to be written, also by what the last segment called for."""
        # They come with the loop's next turn: nothing to wait for by an event.
        while self._sequels:  # noqa: ASYNC110
            await asyncio.sleep(0)
        return not (self._entries or self._arrivals or self.moves)

    async def _until_due(self) -> None:
        """Wait for something that hurries, or for the moment at which the promise asks for a slot."""
        loop = asyncio.get_running_loop()
        share = 3 if self._promise_s <= self._settings.lease_s else 2
        wait_s = self._started + self._promise_s / share - self._clock.elapsed()
        if not self._urgent and not self._stopping and wait_s > 0:
            self._waker = loop.create_future()
            timer = loop.call_later(wait_s, self._hurry)
            try:
                await self._waker
            finally:
                timer.cancel()
                self._waker = None
        self._urgent = False

    def _seal(self) -> Batch:
        """Collect what waits, up to a segment's limit; what is carried forward stands first.

        A message carried forward is written as it stands in the state, which knows nothing of this segment's own
        records: they must come after it.
        """
        batch = Batch()
        while self.moves and batch.size_bytes < _FULL_BYTES:
            self._seal_move(batch, self.moves.popleft())
        while self._entries and batch.size_bytes < _FULL_BYTES:
            entry = self._entries.popleft()
            batch.entries.append(entry)
            batch.add(entry.record)
            batch.flags |= flag_of(entry.record)
            batch.gives_right = batch.gives_right or type(entry.record) is Claimed
            if entry.report is not None:
                self._seal_arrival(batch, entry.report)
        while self._arrivals and batch.size_bytes < _FULL_BYTES:
            arrival = self._arrivals.popleft()
            batch.arrivals.append(arrival)
            self._seal_arrival(batch, arrival)
        if not batch.records:
            batch.add(Tick())
        if not self._entries:
            self._linger_until = _NEVER
        self._urgent = bool(self._entries or self._arrivals or self.moves)
        return batch

    def _seal_last(self, record: Record) -> Batch:
        """A segment with the record that ends the journal, and with nothing else."""
        batch = Batch()
        batch.add(record)
        batch.flags = flag_of(record)
        return batch

    def _seal_move(self, batch: Batch, move: Move) -> None:
        message = move.message
        if message.id not in self.state.messages or message.slot != move.slot:
            return
        place = batch.add_body(move.record.body, [move.body])
        batch.add(Moved(message.id, move.record.envelope, place, message.arrival, message.progress()))

    def _seal_arrival(self, batch: Batch, arrival: Arrival) -> None:
        place = batch.add_body(arrival.place, tuple(arrival.body))
        claimed = arrival.claim()
        batch.gives_right = batch.gives_right or bool(claimed)
        batch.add(Accepted(arrival.id, arrival.envelope, place, arrival.arrival, claimed))

    async def _put(self, batch: Batch) -> None:
        """Put the batch into the next slot. Raises: Fenced, PutBroken, PutFailed."""
        busy = batch.gives_right or bool(self._sequels) or self._is_busy()
        promise_s = self._settings.lease_s if busy else self._settings.idle_tick_s
        slot = self.next_slot
        floor = self.state.floor(slot)
        header, data = encode_segment(
            batch.encoded, batch.bodies,
            queue=self.name, slot=slot, epoch=self.epoch, nonce=self._randomness.token(NONCE_BYTES),
            floor=floor, promise_ms=int(promise_s * 1000), flags=batch.flags,
        )  # fmt: skip
        self._in_flight = batch
        batch.unanswered.extend(batch.arrivals)
        started = self._put_began = self._clock.elapsed()
        self._no_put_since = min(self._no_put_since, started)
        try:
            await put_slot(self._store, slot_key(self.name, slot), data)
        except PutFailed:
            self._put_ended()
            raise
        self._put_ended()
        self._no_put_since = _NEVER
        self.put_took_s = self._clock.elapsed() - started
        self._started, self._promise_s = started, promise_s
        self._right_until = self._right_from(started, promise_s)
        self.next_slot, self.floor, self.fault = slot + 1, floor, ""
        self._known(batch, header)

    def _put_ended(self) -> None:
        self._in_flight = None
        if self._linger_until < _NEVER:
            # The answers of this put bring the next messages: what waited meanwhile is to go with them.
            self._wind_linger(max(self._linger_until, self._clock.elapsed() + _CLAIM_LINGER_S))

    def _right_from(self, started: float, promise_s: float) -> float:
        return started + promise_s * (1 - self._settings.margin_fraction)

    def _known(self, batch: Batch, header: Header) -> None:
        """The segment is in its slot and ours: what it says is so."""
        self.state.apply(header, batch.placed(header))
        reports = [entry.report for entry in batch.entries if entry.report is not None]
        # All answers before any delivery: said back to back they cost the least, and nobody waits for another's.
        answered = [(arrival, arrival.answered()) for arrival in [*batch.arrivals, *reports]]
        for arrival, is_told in answered:
            if not is_told:
                self.append(Voided(arrival.id))
        # What follows takes its time; the store is not to be idle meanwhile.
        self._sequels.append(Sequel(header, batch.entries, answered))
        asyncio.get_running_loop().call_soon(self._follow)

    def _follow(self) -> None:
        """Do what a segment that is in place calls for."""
        sequel = self._sequels.popleft()
        try:
            self._perform(sequel)
        except Exception as error:  # noqa: BLE001 - nobody foresaw it: the journal ends with it, and so does the switch
            if self._failed is not None and not self._failed.done():
                self._failed.set_exception(error)

    def _perform(self, sequel: Sequel) -> None:
        for entry in sequel.entries:
            if entry.done is not None:
                entry.done()
        for arrival, is_told in sequel.answered:
            if is_told:
                arrival.begin(self.state.messages[arrival.id])
            else:
                arrival.unclaim()
        if self.on_known is not None:
            self.on_known(sequel.header)

    def _take_back(self, batch: Batch, error: PutFailed) -> None:
        """The segment is nowhere: refuse its arrivals, keep its records for the next attempt."""
        self.fault = str(error)
        batch.unclaim()
        self._entries.extendleft(reversed(batch.entries))
        self._urgent = True
        for arrival in batch.arrivals:
            arrival.refused(error)
        self._refuse_waiting(error)

    def _refuse_waiting(self, error: StoreUnavailable, *, since: float | None = None) -> None:
        while self._arrivals and (since is None or self._arrivals[0].waits_since < since):
            self._arrivals.popleft().refused(error)

    def _look_at_waiters(self) -> None:
        """Nobody waits for ever behind, or in, a put that does not end (J3)."""
        now = self._clock.elapsed()
        if self._in_flight is not None:
            patience = now - self._settings.commit_wait_s
            if self._arrivals and self._arrivals[0].waits_since < patience:
                self.fault = "the store does not answer"
                self._refuse_waiting(StoreUnavailable(self.fault), since=patience)
            patience = now - self._settings.answer_timeout_s
            waiting = self._in_flight.unanswered
            while waiting and waiting[0].waits_since < patience:
                waiting.popleft().left_unanswered()
        self._looker = asyncio.get_running_loop().call_later(_WAITERS_LOOK_S, self._look_at_waiters)

    def _fenced(self, error: Fenced | PutBroken) -> None:
        """The queue is not ours any more: touch it no more, hand over what provably never landed (J9)."""
        self.is_fenced = True
        batch, self._in_flight = self._in_flight, None
        orphans: list[Arrival] = []
        if batch is not None:
            batch.unclaim()
            if isinstance(error, Fenced) and not error.in_doubt:
                orphans += batch.arrivals
            else:
                for arrival in batch.unanswered:
                    arrival.left_unanswered()
        orphans += self._arrivals
        self._arrivals.clear()
        self._entries.clear()
        self._cancel_timers()
        self._on_fenced(self, orphans, str(error))
