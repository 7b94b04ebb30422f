"""A switch: opens its generation, takes mail, adopts what its server left behind, and keeps it all moving.

The newest queue takes the mail that arrives; older ones, adopted, are only drained and then closed. All of them share
the send slots, so that an adoption floods nobody. What comes to an end, by a fault of the store or because another
process took a queue over, ends alone: the switch opens its next generation and goes on (J9, J11).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

import structlog

from nightmail.errors import StoreUnavailable, SwitchError
from nightmail.journal.arrival import Arrival
from nightmail.journal.keys import drops_key, queue_of
from nightmail.journal.ownership import Adopter, Ownership
from nightmail.journal.records import BodyPlace, Closed, Yielded
from nightmail.mail.envelope import Envelope
from nightmail.mail.fate import Fate, Original
from nightmail.mail.reply import Reply
from nightmail.net.control_messages import QueueStatus, SwitchStatus
from nightmail.store.protocol import NotFound
from nightmail.switch.admission import STORE_AWAY, Admission
from nightmail.switch.adoptions import Adoptions
from nightmail.switch.damage import DamageAlarm
from nightmail.switch.fresh import FreshAllowance
from nightmail.switch.generations import Assignment, Generations
from nightmail.switch.incoming import Incoming, Sender
from nightmail.switch.liveness import Machine
from nightmail.switch.owned import OwnedQueue
from nightmail.switch.parts import Parts
from nightmail.switch.reports import Reporter

_LOOK_S = 0.25
_OPEN_RETRY_S = 0.5

log = structlog.get_logger()


class Switch:
    """The queues of one switch process. `on_ready` is told when it takes mail, each time it begins to."""

    def __init__(
        self,
        parts: Parts,
        adopter: Adopter,
        machine: Machine,
        assignment: Assignment,
        admission: Admission,
        *,
        is_alone: bool,
    ) -> None:
        self.parts = parts
        self.admission = admission
        alarm = DamageAlarm()
        self.generations = Generations(
            parts.store, parts.clock, adopter, machine, assignment,
            alarm=alarm,
            is_alone=is_alone,
            remove_drop=self._remove_drop,
            is_ours=lambda name: name in self._queues,
            adopted=self._adopted,
        )  # fmt: skip
        self.adoptions = Adoptions(
            parts.store, parts.clock, adopter, alarm,
            may_adopt=lambda name: name not in self._queues and not self._stopping,
            adopted=self._adopted,
        )  # fmt: skip
        self.is_ready = asyncio.Event()
        self._adopter = adopter
        self._assignment = assignment
        self._queues: dict[str, OwnedQueue] = {}
        self._newest: OwnedQueue | None = None
        self._orphans: list[Arrival] = []
        self._allowance = FreshAllowance(parts.fresh_limit_bytes)
        self._reporter = Reporter(parts, self._allowance)
        self._pump_planned = False
        self._stopping = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self.remove_drop = _no_drops

    @property
    def queues(self) -> list[OwnedQueue]:
        """The queues that are run here, the newest generation among them."""
        return list(self._queues.values())

    async def run(self) -> None:
        """Work until cancelled."""
        if self._assignment.takes_mail:
            self.spawn(self._open_newest())
            self.spawn(self.generations.run())
        else:
            self.is_ready.set()
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._orphans:
                self._refuse_orphans(StoreUnavailable("no queue is open"))
            now = self.parts.clock.wall()
            for queue in self.queues:
                queue.readback.attempt_due(now)
                if queue is not self._newest and queue.is_drained and not queue.is_stopping and not self._stopping:
                    await self._close(queue)
            self.pump()

    async def stop(self) -> None:
        """Let what is under way end, settle it, give every queue up, and stop writing (R11).

        The journals are written until the transports are done: what they deliver at the last moment is settled, too.
        """
        self._stopping = True
        self.is_ready.clear()
        for queue in self.queues:
            queue.is_stopping = True
        transports = set(self.parts.transports.values())
        await asyncio.gather(*(transport.close() for transport in transports), return_exceptions=True)
        await self._give_up(self.queues)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def hand_over(self, name: str) -> bool:
        """Give one queue up that was adopted, once what is under way has its answer; whether it was run here."""
        queue = self._queues.get(name)
        if queue is None or queue is self._newest:
            return False
        queue.is_stopping = True
        await self._give_up([queue])
        if self._queues.get(name) is queue:
            del self._queues[name]
        if not queue.journal.is_fenced:
            log.info("queue given up", queue=name, messages=len(queue.journal.state.messages))
        return not queue.journal.is_fenced

    async def _give_up(self, queues: Sequence[OwnedQueue]) -> None:
        """Wait for the answers that are due, within a bound, and have the last word in the journals."""
        deadline = self.parts.clock.elapsed() + self.parts.queue_settings.handover_wait_s
        # Bounded, and asked of attempts that are settled one by one: an event would need a count of its own.
        while any(queue.is_delivering for queue in queues) and self.parts.clock.elapsed() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for queue in queues:
            await queue.stop()
        await asyncio.gather(*(queue.journal.stop(Yielded()) for queue in queues))
        for queue in queues:
            queue.break_promises()

    def fault(self) -> Reply | None:
        """The reply that refuses mail at the moment, or None."""
        return STORE_AWAY if self._newest is None or self._newest.journal.is_stuck else None

    def queue_name(self) -> str:
        """The queue in which a message that begins now will lie."""
        return self._newest.name if self._newest is not None else ""

    def submit(self, message_id: str, envelope: Envelope, data: bytes, place: BodyPlace, sender: Sender) -> None:
        """Take a message in; `sender` hears what became of it."""
        queue = self._newest
        if queue is None or self._stopping:
            sender.refused(StoreUnavailable("no queue is open"))
            return
        if place.key and queue_of(place.key) != queue.name:
            # Who owns that queue now deletes every body that no record of it names.
            sender.refused(StoreUnavailable("the queue was lost while the message was kept beside it"))
            return
        parts = self.parts
        incoming = Incoming(
            message_id, envelope, data, place,
            arrival=parts.clock.wall(), waits_since=parts.clock.elapsed(),
            sender=sender, queue=queue, allowance=self._allowance,
        )  # fmt: skip
        queue.journal.accept(incoming)

    def forget_body(self, place: BodyPlace) -> None:
        """Nobody is to have the message that a large body was kept for: have it deleted."""
        queue = self._queues.get(queue_of(place.key))
        if queue is not None:
            queue.journal.state.finished_aside.append(place.key.rpartition("/")[2])

    def reports_due(self, message_id: str, envelope: Envelope, fates: list[Fate]) -> list[Fate]:
        """What a sender is to be told of `fates`, for `report`."""
        return self._reporter.due(message_id, envelope, fates)

    def report(self, original: Original, fates: list[Fate], sender: Sender, *, drop: str) -> None:
        """Tell a sender at once what became of `original`; `drop` is the drop file that the report stands for."""
        queue = self._newest
        if queue is None:
            sender.refused(StoreUnavailable("no queue is open"))
        else:
            queue.journal.accept(self._reporter.report(queue, original, fates, sender, drop))

    def is_newest(self, queue: OwnedQueue) -> bool:
        """Whether a queue is the one that takes mail."""
        return queue is self._newest

    @property
    def number(self) -> int:
        """The switch's number in its server."""
        return self._assignment.switch

    def pump(self) -> None:
        """Send slots may be free: serve them with the next turn of the loop."""
        if not self._pump_planned:
            self._pump_planned = True
            asyncio.get_running_loop().call_soon(self._serve_slots)

    def status(self) -> SwitchStatus:
        """What the switch says of itself."""
        state = "stopping" if self._stopping else "serving" if self.is_ready.is_set() else "starting"
        fault = self._store_fault()
        return SwitchStatus(
            switch=self._assignment.switch,
            state=state,
            pid=os.getpid(),
            queues=(*map(self._queue_status, self.queues), *self._queues_waited_for()),
            sessions=self.admission.sessions,
            is_cut_off=any(queue.journal.is_cut_off for queue in self.queues),
            store=fault or (str(self.admission.fault) if self.admission.fault is not None else "ok"),
            counters=self.parts.counters.as_dict(),
            replicas=self.parts.routing.standing(),
        )

    def _store_fault(self) -> str:
        """Why what should be written is not, empty where it is."""
        if self._newest is None and self._assignment.takes_mail:
            return "no queue could be opened yet"
        return next((queue.journal.fault for queue in self.queues if queue.journal.fault), "")

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something beside; a switch that meets an error nobody foresaw ends, to be started afresh."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.critical("switch failed", exc_info=task.exception(), remedy="it is started afresh; report this")
            os._exit(70)

    def _queue_status(self, queue: OwnedQueue) -> QueueStatus:
        journal = queue.journal
        messages = journal.state.messages
        return QueueStatus(
            id=queue.name,
            owner=self._assignment.owner,
            epoch=journal.epoch,
            slot=journal.next_slot - 1,
            messages=len(messages),
            waiting=len(queue.waiting),
            active=len(queue.rounds),
            held=len(journal.state.held),
        )

    def _queues_waited_for(self) -> list[QueueStatus]:
        """Queues of ours that are not run here, because their last owner may be alive: as they were when last read.

        One that an earlier life of this server owned has no owner to show.
        """
        return [
            QueueStatus(
                id=name,
                owner=seen.owner.owner if seen.owner and seen.owner.owner != self._assignment.owner else "",
                epoch=seen.found.epoch,
                slot=seen.found.tail,
                messages=len(seen.found.state.messages),
                waiting=len(seen.found.state.messages) - len(seen.found.state.held),
                held=len(seen.found.state.held),
            )
            for name, seen in self.generations.waiting.items()
            if name not in self._queues
        ]

    async def _open_newest(self) -> None:
        """Open the next generation, however long the store takes; answer from there what waited (J3)."""
        while True:
            try:
                owned = await self._adopter.open_generation(self._assignment.server, self._assignment.switch)
            except StoreUnavailable as error:
                log.warning("queue not opened", reason=str(error), remedy="the store is asked again")
                self._refuse_orphans(error)
                await asyncio.sleep(_OPEN_RETRY_S)
            else:
                break
        self._newest = self._run(owned)
        log.info("queue opened", queue=owned.queue)
        orphans, self._orphans = self._orphans, []
        for arrival in orphans:
            if isinstance(arrival, Incoming):
                arrival.readdress(self._newest)
            self._newest.journal.accept(arrival)
        self.is_ready.set()

    def _adopted(self, owned: Ownership) -> None:
        """What waited long enough while nobody ran the queue does not wait for the next look."""
        self._run(owned).readback.attempt_due(self.parts.clock.wall())

    def _run(self, owned: Ownership) -> OwnedQueue:
        queue = OwnedQueue(
            self.parts, owned, self._reporter, self._allowance,
            pump=self.pump, spawn=self.spawn, on_fenced=self._fenced,
            remove_drop=self.remove_drop if self._assignment.takes_mail else partial(self._gone_elsewhere, owned.queue),
        )  # fmt: skip
        self._queues[queue.name] = queue
        task = queue.start()
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return queue

    async def _remove_drop(self, name: str) -> None:
        await self.remove_drop(name)

    async def _gone_elsewhere(self, queue: str, name: str) -> None:
        """Whether another server's drop file is gone only that server can tell, and does in the store. Raises."""
        try:
            await self.parts.store.get_range(drops_key(queue), 0, 1)
        except NotFound:
            raise StoreUnavailable(f"drop file {name} may still be on the server that {queue} is named after") from None

    def _serve_slots(self) -> None:
        self._pump_planned = False
        if self._stopping:
            return
        now = self.parts.clock.elapsed()
        while (taken := self.parts.destinations.take(now)) is not None:
            attempt = taken[1]
            attempt.round.queue.start_attempt(attempt)

    def _fenced(self, queue: OwnedQueue, orphans: list[Arrival], why: str) -> None:
        """A queue is not ours any more: stop at once; a switch that is otherwise well goes on (J9)."""
        log.error("queue lost", queue=queue.name, reason=why, remedy="another process owns it now and delivers it")
        if self._queues.get(queue.name) is queue:
            del self._queues[queue.name]
        self.spawn(self._forsake(queue))
        self.generations.look_again()
        if queue is not self._newest:
            return
        self._newest = None
        self.is_ready.clear()
        for arrival in orphans:
            if arrival.place.key:
                arrival.refused(StoreUnavailable("the queue was lost while the message was kept beside it"))
            else:
                self._orphans.append(arrival)
        self.spawn(self._open_newest())

    async def _forsake(self, queue: OwnedQueue) -> None:
        await queue.stop()
        queue.break_promises()

    def _refuse_orphans(self, error: SwitchError) -> None:
        patience_s = self.parts.store_settings.commit_wait_s
        now = self.parts.clock.elapsed()
        waiting, self._orphans = self._orphans, []
        for arrival in waiting:
            if now - arrival.waits_since > patience_s:
                arrival.refused(error)
            else:
                self._orphans.append(arrival)

    async def _close(self, queue: OwnedQueue) -> None:
        """An empty queue that takes no mail is closed for good (J5)."""
        await queue.stop()
        await queue.journal.stop(Closed())
        self._queues.pop(queue.name, None)
        if not queue.journal.is_fenced:
            log.info("queue closed", queue=queue.name)
            if self._assignment.takes_mail:
                self.generations.look_again()
            else:
                self.spawn(self.generations.sweep(queue.name))


async def _no_drops(name: str) -> None:
    raise StoreUnavailable(f"drop file {name} is another server's")
