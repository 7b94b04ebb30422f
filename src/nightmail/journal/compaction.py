"""Keeping a log short: messages that wait long are carried forward, and the log is cut behind them (J5, J10).

The log is cut only from the front. What lies below a floor is deleted once a segment that names the floor has been
known for 60 s; `adopted` and `closed` records stay for good.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque

import structlog

from nightmail.errors import Corrupt, StoreUnavailable
from nightmail.journal.batch import Move
from nightmail.journal.fetching import Fetcher
from nightmail.journal.keys import body_key, body_prefix, log_prefix, slot_key
from nightmail.journal.reading import read_segment
from nightmail.journal.state import LiveMessage, QueueState
from nightmail.journal.writer import Journal
from nightmail.store.protocol import NotFound, Store
from nightmail.world import Clock

KEEP_BELOW_FLOOR_S = 60.0
_PERIOD_S = 1.0
_HURRIED_PERIOD_S = 0.1
_ALARM_S = 300.0
_SWEEP_S = 3600.0
_MIB = 1 << 20
_SPARE_BYTES = 64 * _MIB
_SPARE_SLOTS = 4096
_SLOTS_PER_MIB = 4
_STEP_BYTES = 2 * _MIB
_STEP_MESSAGES = 1000

log = structlog.get_logger()


def wants_compaction(state: QueueState, floor: int, tail: int) -> bool:
    """Whether the log has come to three quarters of what it may grow to.

    Space stays under twice the live bytes and 64 MiB, floor to tail under 4,096 slots and 4 for each live MiB.
    """
    space = 2 * state.live_bytes + _SPARE_BYTES
    span = _SPARE_SLOTS + _SLOTS_PER_MIB * state.live_bytes // _MIB
    return state.log_bytes > space * 3 // 4 or tail - floor > span * 3 // 4


class Compactor:
    """Cuts and compacts one journal for as long as it is ours."""

    def __init__(self, store: Store, clock: Clock, journal: Journal, fetcher: Fetcher, stale: list[int]) -> None:
        self._store = store
        self._clock = clock
        self._journal = journal
        self._fetcher = fetcher
        self._stale = stale
        self._wanted_since: float | None = None
        self._condemned: deque[tuple[float, list[str]]] = deque()

    async def run(self) -> None:
        """Work once a second until cancelled or fenced."""
        await self._condemn_stale()
        sweep_at = 0.0
        while not self._journal.is_fenced:
            await asyncio.sleep(_HURRIED_PERIOD_S if self._wanted_since is not None else _PERIOD_S)
            if self._clock.elapsed() >= sweep_at:
                sweep_at = self._clock.elapsed() + _SWEEP_S
                await self._sweep()
            with contextlib.suppress(StoreUnavailable):
                self._cut()
                await self._delete_due()
                journal = self._journal
                if wants_compaction(journal.state, journal.floor, journal.next_slot):
                    self._note_wanted()
                    await self._carry_forward()
                else:
                    self._wanted_since = None

    def _note_wanted(self) -> None:
        """Alarm where compaction gets nowhere: something holds the floor that a person has to look at (J14)."""
        now = self._clock.elapsed()
        if self._wanted_since is None:
            self._wanted_since = now
        if now - self._wanted_since > _ALARM_S:
            self._wanted_since = now
            log.error(
                "log does not get shorter", queue=self._journal.name, floor=self._journal.floor,
                slots=self._journal.next_slot - self._journal.floor, log_bytes=self._journal.state.log_bytes,
                remedy="look for an unreadable message in this queue: restore its segment, or delete the message",
            )  # fmt: skip

    async def _sweep(self) -> None:
        """Remove what writers that died left half-written."""
        with contextlib.suppress(StoreUnavailable):
            for prefix in (log_prefix(self._journal.name), body_prefix(self._journal.name)):
                await self._store.sweep(prefix, _SWEEP_S)

    def _cut(self) -> None:
        journal = self._journal
        finished, journal.state.finished_aside = journal.state.finished_aside, []
        keys = [slot_key(journal.name, slot) for slot in journal.state.cut(journal.floor)]
        keys += [body_key(journal.name, message_id) for message_id in finished]
        if keys:
            self._condemned.append((self._clock.elapsed() + KEEP_BELOW_FLOOR_S, keys))

    async def _delete_due(self) -> None:
        while self._condemned and self._condemned[0][0] <= self._clock.elapsed():
            await self._store.delete(self._condemned[0][1])
            self._condemned.popleft()

    async def _condemn_stale(self) -> None:
        """What an earlier owner left below the floor, and the bodies that no live record names."""
        journal = self._journal
        keys = []
        with contextlib.suppress(StoreUnavailable):
            for slot in self._stale:
                try:
                    segment = await read_segment(self._store, journal.name, slot)
                except (Corrupt, NotFound):
                    # What can't be read is kept for a person to look at (J14).
                    continue
                if not segment.header.is_kept:
                    keys.append(slot_key(journal.name, slot))
            prefix = body_prefix(journal.name)
            live = {prefix + message.id for message in journal.state.messages.values() if message.aside}
            async for page in self._store.list_after(prefix, ""):
                keys += [key for key in page if key not in live] if self._stale_bodies_are_ours() else []
        if keys:
            self._condemned.append((self._clock.elapsed() + KEEP_BELOW_FLOOR_S, keys))

    def _stale_bodies_are_ours(self) -> bool:
        """In a generation just begun, bodies are being streamed that no record names yet."""
        return self._journal.epoch > 1

    async def _carry_forward(self) -> None:
        """Move the messages that hold the floor down, a bounded number of bytes at a time.

        One that can't be read holds the floor for good, to be kept for a person: moving others would only write.
        """
        moved_bytes = 0
        journal = self._journal
        if journal.moves:
            return
        for message in list(itertools.islice(journal.state.oldest(), _STEP_MESSAGES)):
            if journal.state.messages.get(message.id) is not message:
                continue
            try:
                moved_bytes += await self._move(message)
            except Corrupt:
                return
            if moved_bytes >= _STEP_BYTES:
                return

    async def _move(self, message: LiveMessage) -> int:
        slot = message.slot
        record = await self._fetcher.record(message)
        body = b""
        if not record.body.key:
            stored = self._fetcher.body(message, record)
            body = await stored.read(0, stored.size_bytes)
        self._journal.move(Move(message, slot, record, body))
        return message.size + len(body)
