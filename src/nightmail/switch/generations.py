"""The older queues of our own server: found in the store, adopted as soon as J7 allows, closed when they are empty.

Where there are other servers, one of them may have adopted such a queue, and its puts may be slow: then only what needs
no patience is adopted here, and the rest is left to the group, which times it with an eye on its owner's heartbeats.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog

from nightmail.errors import Corrupt, StoreUnavailable
from nightmail.journal.fetching import Fetcher
from nightmail.journal.keys import QueueName, body_prefix, drops_key, log_prefix, slot_key
from nightmail.journal.ownership import Adopter, Ownership
from nightmail.journal.reading import Replayed, find_owner, list_queues, list_slots, read_in_order, replay
from nightmail.journal.records import Adopted
from nightmail.store.protocol import NotFound, Store
from nightmail.switch.adoptions import log_adoption
from nightmail.switch.damage import DamageAlarm
from nightmail.switch.liveness import Machine
from nightmail.world import Clock

_LOOK_S = 0.5
_LOOK_RARELY_S = 5.0
_DRIFT = 0.1

log = structlog.get_logger()


class Assignment(NamedTuple):
    """Which of a server's queues a switch runs: those of its number, and its share of those without a switch.

    A *secondary* switch runs queues of another server, takes no mail, and adopts only what it is asked to: then `host`
    is the server that it runs on, which owns the queues.
    """

    server: str
    switch: int
    switches: int
    host: str = ""

    @property
    def takes_mail(self) -> bool:
        """Whether it is a primary switch, with a newest queue."""
        return not self.host

    @property
    def owner(self) -> str:
        """The server that owns what it runs."""
        return self.host or self.server

    def covers(self, name: QueueName) -> bool:
        """Whether a queue is this switch's to run."""
        if name.server != self.server:
            return False
        return name.switch == self.switch or (
            name.switch >= self.switches and name.switch % self.switches == self.switch
        )


class Seen(NamedTuple):
    """A queue that may be alive: how it was found, whose it is, and since when (elapsed seconds) it stands still."""

    found: Replayed
    owner: Adopted | None
    since: float


class Generations:
    """Watches the queues of `assignment` that nobody here runs, and adopts them.

    `is_ours` tells whether a queue is run here already; `adopted` takes one over that was just adopted. `is_alone` says
    that the cluster has no other server.
    `is_complete` holds once every queue that was there is run here or closed or, where a partner runs it, names no drop
    file that is still here. `waiting` has those that may be alive. `remove_drop` makes sure that a drop file is gone.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        adopter: Adopter,
        machine: Machine,
        assignment: Assignment,
        *,
        alarm: DamageAlarm,
        is_alone: bool,
        remove_drop: Callable[[str], Awaitable[None]],
        is_ours: Callable[[str], bool],
        adopted: Callable[[Ownership], None],
    ) -> None:
        self.is_complete = False
        self.waiting: dict[str, Seen] = {}
        self._store = store
        self._clock = clock
        self._adopter = adopter
        self._machine = machine
        self._assignment = assignment
        self._is_ours = is_ours
        self._adopted = adopted
        self._closed: set[str] = set()
        self._unswept: dict[str, Replayed] = {}
        self._wanted = asyncio.Event()
        self._alarm = alarm
        self._is_alone = is_alone
        self._remove_drop = remove_drop
        self._without_drops: set[str] = set()
        self._faults: dict[str, str] = {}

    async def run(self) -> None:
        """Look for queues until cancelled."""
        while True:
            self._wanted.clear()
            try:
                is_complete = await self._look()
                # A queue that was lost during the look was still ours when it was passed over.
                self.is_complete = is_complete and not self._wanted.is_set()
            except StoreUnavailable as error:
                log.warning("queues not listed", reason=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_RARELY_S if self.is_complete else _LOOK_S):
                    await self._wanted.wait()

    def look_again(self) -> None:
        """A queue that was run here is so no more: look for it at once, to adopt it again or to sweep what it left."""
        self.is_complete = False
        self._wanted.set()

    async def _look(self) -> bool:
        """One look at every queue; whether none is left that may need us."""
        left = 0
        for text in await list_queues(self._store, f"{self._assignment.server}."):
            name = QueueName.parse(text)
            if name is None or not self._assignment.covers(name) or text in self._closed:
                continue
            if self._is_ours(text):
                self.waiting.pop(text, None)
                continue
            is_done = await self._consider_alone(text)
            left += not is_done and text not in self._without_drops
        await self._sweep_unswept()
        return not left

    async def _sweep_unswept(self) -> None:
        """Delete what closed queues have left: no mail waits for that. What can't be deleted now is tried again."""
        for queue, found in list(self._unswept.items()):
            try:
                await self._sweep_closed(queue, found)
            except StoreUnavailable as error:
                if self._faults.get(queue) != str(error):  # said once, not with every look
                    self._faults[queue] = str(error)
                    log.warning("closed queue not swept", queue=queue, reason=str(error), remedy="it is tried again")
            else:
                self._faults.pop(queue, None)
                del self._unswept[queue]

    async def _consider_alone(self, queue: str) -> bool:
        """As `_consider`; a queue that can't be read stands in nobody's way but its own."""
        try:
            is_done = await self._consider(queue)
        except StoreUnavailable as error:
            self._note_fault(queue, str(error))
            return False
        self._faults.pop(queue, None)
        return is_done

    def _note_fault(self, queue: str, reason: str) -> None:
        """Say it once, not with every look."""
        if self._faults.get(queue) != reason:
            self._faults[queue] = reason
            log.error(
                "queue not read", queue=queue, key=log_prefix(queue), reason=reason,
                remedy="its mail waits, and so does local mail; it is read again until the store can; look at its logs",
            )  # fmt: skip

    async def _consider(self, queue: str) -> bool:
        """Adopt a queue if that is allowed now; True: it is run here, or closed."""
        if await self._stands_waiting(queue):
            return False
        found = await replay(self._store, queue)
        if found.state.is_closed:
            self._closed.add(queue)
            self.waiting.pop(queue, None)
            self._unswept[queue] = found
            return True
        self._alarm.raise_for(found.damage)
        if queue not in self._without_drops and await self._is_partners(queue, found):
            await self._clear_drops(queue, found)
        if found.tail < 0 or not await self._may_adopt(queue, found):
            return False
        began = self._clock.elapsed()
        owned = await self._adopter.adopt(queue, found)
        self.waiting.pop(queue, None)
        if owned is None:
            return False
        log_adoption(owned, self._clock.elapsed() - began)
        self._adopted(owned)
        return True

    async def _stands_waiting(self, queue: str) -> bool:
        """Whether the queue is as it was seen last, and its promise still runs: nothing is to be read again."""
        seen = self.waiting.get(queue)
        if seen is None or self._is_dead(seen) or await list_slots(self._store, queue, after=seen.found.tail):
            return False
        return not self._is_alone or self._clock.elapsed() - seen.since <= seen.found.promise_s * (1 + _DRIFT)

    async def _may_adopt(self, queue: str, found: Replayed) -> bool:
        """Whether J7 allows it: yielded, its owner proven dead, or stood still for its promise and the drift."""
        if found.state.is_yielded:
            return True
        seen = self.waiting.get(queue)
        if seen is None or seen.found.tail != found.tail:
            owner = await find_owner(self._store, queue, found)
            seen = self.waiting[queue] = Seen(found, owner, self._clock.elapsed())
        if self._is_dead(seen):
            return True
        return self._is_alone and self._clock.elapsed() - seen.since > found.promise_s * (1 + _DRIFT)

    def _is_dead(self, seen: Seen) -> bool:
        return seen.owner is not None and self._machine.is_proven_dead(seen.owner)

    async def _is_partners(self, queue: str, found: Replayed) -> bool:
        """Whether another server owns it: then no process of ours, however late, has a drop file accepted there."""
        owner = await find_owner(self._store, queue, found)
        return owner is not None and owner.owner != self._assignment.server

    async def _clear_drops(self, queue: str, found: Replayed) -> None:
        """Remove the drop files that the queue has accepted, and note it in the store: only we can reach them."""
        fetcher = Fetcher(self._store, queue, found.state)
        try:
            for message in [message for message in found.state.messages.values() if message.drop]:
                await self._remove_drop((await fetcher.record(message)).envelope.drop)
            await self._store.put_new(drops_key(queue), [b"gone\n"])
        except (OSError, Corrupt, NotFound) as error:
            self._note_fault(queue, f"its drop files can't be removed: {error}")
        else:
            self._without_drops.add(queue)

    async def sweep(self, queue: str) -> None:
        """Delete what a queue that was just closed still has; what can't be deleted now is left for its own server."""
        try:
            found = await replay(self._store, queue)
            if found.state.is_closed:
                await self._sweep_closed(queue, found)
        except StoreUnavailable as error:
            log.warning("closed queue not swept", queue=queue, reason=str(error), remedy="none: it takes some room")

    async def _sweep_closed(self, queue: str, found: Replayed) -> None:
        """Delete what a closed queue still has beside what is kept for good (J5)."""
        doomed = []
        async with contextlib.aclosing(
            read_in_order(self._store, queue, [*found.stale, *found.state.slots])
        ) as segments:
            async for slot, segment in segments:
                # What can't be read is kept for a person to look at (J14).
                if not isinstance(segment, Corrupt) and not segment.header.is_kept:
                    doomed.append(slot_key(queue, slot))
        async for page in self._store.list_after(body_prefix(queue), ""):
            doomed += page
        await self._store.delete([*doomed, drops_key(queue)])
