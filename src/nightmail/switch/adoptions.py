"""Adoption on request: queues read while their promise still runs out, and taken over when the group says so (J7).

Whoever asks has timed the journal's stillness. Here it is only made sure that what is adopted is what was timed: the
slot after the tail that was named, and no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from nightmail.errors import FormatUnknown, StoreUnavailable
from nightmail.journal.ownership import Adopter, Ownership
from nightmail.journal.reading import Replayed, catch_up, replay
from nightmail.store.protocol import Store
from nightmail.switch.damage import DamageAlarm
from nightmail.world import Clock

log = structlog.get_logger()


def log_adoption(owned: Ownership, took_s: float) -> None:
    """Say that a queue is ours from here on, and how much of it may have been delivered before."""
    in_doubt = sum(bool(message.claimed) for message in owned.state.messages.values())
    log.info(
        "queue adopted", queue=owned.queue, epoch=owned.epoch, slot=owned.next_slot - 1,
        messages=len(owned.state.messages), ambiguous=in_doubt, took_s=took_s,
    )  # fmt: skip


class Adoptions:
    """Takes over what it is asked to; `adopted` is given each queue that became ours.

    `may_adopt` says no to a queue that is run here already, and to all while the switch stops.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        adopter: Adopter,
        alarm: DamageAlarm,
        *,
        may_adopt: Callable[[str], bool],
        adopted: Callable[[Ownership], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._adopter = adopter
        self._alarm = alarm
        self._may_adopt = may_adopt
        self._adopted = adopted
        self._reading: dict[str, asyncio.Task[Replayed]] = {}
        self._adopting: set[str] = set()

    def prepare(self, queue: str) -> None:
        """Begin to read a queue's log, so that only what is written from now on is left to be read."""
        if queue not in self._reading and self._may_adopt(queue):
            reading = self._reading[queue] = asyncio.get_running_loop().create_task(self._read(queue))
            # Whoever adopts hears of a fault; it has been logged where nobody does.
            reading.add_done_callback(lambda task: task.cancelled() or task.exception())

    def forget(self, queue: str) -> None:
        """The queue is not to be adopted after all: let go of what was read."""
        reading = self._reading.pop(queue, None)
        if reading is not None:
            reading.cancel()

    async def adopt(self, queue: str, tail: int) -> bool:
        """Take over `queue` by the slot after `tail`; whether it is ours. Raises: StoreUnavailable."""
        if queue in self._adopting or not self._may_adopt(queue):
            return False
        self._adopting.add(queue)
        began = self._clock.elapsed()
        try:
            self.prepare(queue)
            found = await catch_up(self._store, queue, await self._reading[queue])
            if found.tail != tail or found.state.is_closed or not self._may_adopt(queue):
                return False
            owned = await self._adopter.adopt(queue, found)
        finally:
            self._adopting.discard(queue)
            # What was read is the new owner's now, or was overtaken by what somebody else wrote.
            self._reading.pop(queue, None)
        if owned is None:
            return False
        self._alarm.raise_for(found.damage)
        log_adoption(owned, self._clock.elapsed() - began)
        self._adopted(owned)
        return True

    async def _read(self, queue: str) -> Replayed:
        while True:
            try:
                return await replay(self._store, queue)
            except FormatUnknown as error:
                log.warning("queue not read", queue=queue, reason=str(error), remedy="upgrade this server")
                raise
            except StoreUnavailable as error:
                log.warning("queue not read", queue=queue, reason=str(error), remedy="the store is asked again")
                await asyncio.sleep(0.5)
