"""Becoming a queue's owner, and finding out that one no longer is (J2-J5).

Whoever writes a journal's next slot owns it. A put may answer late, twice, wrongly or not at all, so nothing here
believes an answer before it has looked at the slot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from nightmail.errors import Fenced, StoreUnavailable
from nightmail.journal.keys import QueueName, slot_key
from nightmail.journal.reading import Replayed, list_queues, list_slots
from nightmail.journal.records import Adopted, Codec
from nightmail.journal.segment import ADOPTS, NONCE_BYTES, Placed, encode_segment
from nightmail.journal.state import QueueState
from nightmail.store.protocol import Buffer, NotFound, Put, PutBroken, PutFailed, PutUnknown, Store
from nightmail.world import Clock, Randomness

_RETRY_FIRST_S = 0.05
_RETRY_MAX_S = 1.0
_LOOK_LIMIT_S = 30.0


class Identity(NamedTuple):
    """Who adopts: a server in one life of it, and the file that proves this life's end on its machine (J7)."""

    server: str
    incarnation: str
    machine: str
    boot: str
    lock: str
    group: str = ""

    def adopted(self, epoch: int) -> Adopted:
        """The record by which a queue becomes ours in `epoch`."""
        return Adopted(epoch, self.server, self.incarnation, self.machine, self.boot, self.lock, self.group)


class Ownership(NamedTuple):
    """A queue that became ours: its next slot is ours to write.

    `started` is when the first attempt of the put that made it so began (elapsed seconds), for the right to deliver.
    `stale` are slots below the floor that nobody has deleted yet.
    """

    queue: str
    next_slot: int
    epoch: int
    floor: int
    state: QueueState
    started: float
    promise_ms: int
    stale: list[int]


async def put_slot(store: Store, key: str, data: Sequence[Buffer]) -> None:
    """Put a segment into its slot; returning means that it is there, durable and ours.

    Raises:
        Fenced: somebody else's segment is there, or ours was there and is gone (J2). In doubt once an attempt's outcome
            was unknown: ours may have landed, been read and been deleted before a late adopter's took the slot.
        PutFailed: it is not there and never will be. Never once an attempt's outcome was unknown: that one may still
            land, and what is refused must not be delivered (J3).
        PutBroken: it is there, its durability in doubt; the writer counts as fenced (J3).
    """
    delay_s = _RETRY_FIRST_S
    is_in_doubt = False
    while True:
        try:
            if await store.put_new(key, data) is Put.CREATED:
                return
            was_in_doubt, is_in_doubt = is_in_doubt, True
            await _recognise(store, key, data, was_in_doubt=was_in_doubt)
        except PutBroken:
            raise
        except StoreUnavailable as error:
            if isinstance(error, PutFailed) and not is_in_doubt:
                raise
            is_in_doubt = True
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _RETRY_MAX_S)
        else:
            return


async def _recognise(store: Store, key: str, data: Sequence[Buffer], *, was_in_doubt: bool) -> None:
    """The slot is taken: by our own bytes, whole, or by somebody else. Raises: Fenced, PutUnknown."""
    ours = b"".join(data)
    try:
        theirs = await store.get_range(key, 0, len(ours) + 1)
    except NotFound as error:
        raise Fenced(f"{key} was taken and is gone: the queue was adopted and went on", in_doubt=True) from error
    except StoreUnavailable as error:
        raise PutUnknown(f"{key} is taken and can't be read: {error}") from error
    if theirs != ours:
        raise Fenced(f"{key} holds another owner's segment", in_doubt=was_in_doubt)


class Adopter:
    """Opens new generations and adopts queues in the name of one identity."""

    def __init__(
        self, store: Store, clock: Clock, randomness: Randomness, identity: Identity, *, promise_ms: int
    ) -> None:
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._identity = identity
        self._promise_ms = promise_ms

    async def open_generation(self, server: str, switch: int) -> Ownership:
        """Begin a new queue for a switch; a generation number is never used again (J5). Raises: StoreUnavailable."""
        names = [QueueName.parse(name) for name in await list_queues(self._store, f"{server}.{switch}.")]
        generation = max((name.generation for name in names if name), default=0) + 1
        while True:
            queue = str(QueueName(server, switch, generation))
            try:
                return await self._write(queue, 0, 0, QueueState(), 1)
            except Fenced:
                generation += 1

    async def adopt(self, queue: str, found: Replayed) -> Ownership | None:
        """Take `queue` over, whose log was found as `found`, by the slot after its tail.

        None: somebody wrote that slot first, or the log is closed; the caller measures anew. The caller has made sure
        of J7: the journal stood still for its last promise, or its owner is proven dead or has yielded.
        Raises: StoreUnavailable.
        """
        if found.tail < 0 or found.state.is_closed:
            return None
        try:
            owned = await self._write(queue, found.tail + 1, found.floor, found.state, found.epoch + 1)
        except Fenced:
            return None
        if not await self._is_last(queue, found.tail + 1):
            return None
        return owned._replace(stale=found.stale)

    async def _is_last(self, queue: str, slot: int) -> bool:
        """Look once more (J4): a slot beyond ours means that ours had been deleted and was open again."""
        while True:
            began = self._clock.elapsed()
            try:
                beyond = await list_slots(self._store, queue, after=slot)
            except StoreUnavailable:
                await asyncio.sleep(_RETRY_MAX_S)
                continue
            if self._clock.elapsed() - began <= _LOOK_LIMIT_S:
                return not beyond

    async def _write(self, queue: str, slot: int, floor: int, state: QueueState, epoch: int) -> Ownership:
        record = self._identity.adopted(epoch)
        encoded = Codec.encode(record)
        header, data = encode_segment(
            [encoded], [],
            queue=queue, slot=slot, epoch=epoch, nonce=self._randomness.token(NONCE_BYTES), floor=floor,
            promise_ms=self._promise_ms, flags=ADOPTS,
        )  # fmt: skip
        started = self._clock.elapsed()
        await put_slot(self._store, slot_key(queue, slot), data)
        state.apply(header, [Placed(record, header.records_begin, len(encoded))])
        return Ownership(queue, slot + 1, epoch, floor, state, started, self._promise_ms, [])
