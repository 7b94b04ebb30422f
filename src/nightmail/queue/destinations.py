"""Who may send now: the slots of all destinations, shared out fairly.

A *slot* is the right to have one delivery under way. A destination is in one of four places:

    absent     it has no slot taken and nothing waiting: it costs no memory
    at work    slots taken, nothing waits, or all its slots are taken
    ready      jobs wait and a slot is free: it stands in the ring, from which `take` serves one job of each in turn
    parked     its breaker is open: it stands in a heap by the time of its next probe and costs no call anything

Every method takes constant time, apart from `drain` (the jobs it returns) and the heap's logarithm for a parked one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from heapq import heappop, heappush
from typing import Generic, TypeVar

from nightmail.queue.breaker import Breaker
from nightmail.queue.settings import QueueSettings
from nightmail.world import Randomness

FRESH = 0
RETRY = 1
REPORT = 2

_PRIORITIES = 3
# So that a destination that never runs out of fresh mail still gets its old mail.
_LOWEST_FIRST_EVERY = 8
_MOST_BREAKERS = 10_000

Job = TypeVar("Job")


class _Destination(Generic[Job]):
    """The slots one destination has taken and the jobs that wait for one."""

    __slots__ = ("active", "key", "lines", "turn", "waiting")

    def __init__(self, key: str) -> None:
        self.key = key
        self.active = 0
        self.waiting = 0
        self.turn = 0
        self.lines: list[deque[Job] | None] = [None] * _PRIORITIES

    def append(self, job: Job, priority: int) -> None:
        """Put a job at the end of its priority's line."""
        line = self.lines[priority]
        if line is None:
            line = self.lines[priority] = deque()
        line.append(job)
        self.waiting += 1

    def pop(self) -> Job:
        """The first job of the most urgent line; now and then, of the least urgent."""
        self.waiting -= 1
        self.turn += 1
        lines = self.lines if self.turn % _LOWEST_FIRST_EVERY else reversed(self.lines)
        for line in lines:
            if line:
                return line.popleft()
        raise AssertionError(f"{self.key} counts a waiting job that is in none of its lines")

    def drain(self) -> list[Job]:
        """All waiting jobs, the most urgent first."""
        jobs = [job for line in self.lines if line for job in line]
        self.lines = [None] * _PRIORITIES
        self.waiting = 0
        return jobs


class Destinations(Generic[Job]):
    """Never more slots than the limits allow, no job lost, and its turn for every destination that can take one.

    `now` is seconds of `Clock.elapsed`. A transport reports `connect_failed` and `session_opened` before the slot
    is released.
    """

    def __init__(self, settings: QueueSettings, randomness: Randomness) -> None:
        self._randomness = randomness
        self._destinations: dict[str, _Destination[Job]] = {}
        self._ready: OrderedDict[str, _Destination[Job]] = OrderedDict()
        # In the order of the last failure.
        self._breakers: OrderedDict[str, Breaker] = OrderedDict()
        self._parked: list[tuple[float, str]] = []
        self.active = 0
        self.waiting = 0
        self.go_by(settings)

    def __len__(self) -> int:
        """How many destinations are at work, ready or parked with jobs."""
        return len(self._destinations)

    def go_by(self, settings: QueueSettings) -> None:
        """Go by other settings from now on; what is under way beyond them goes on to its end."""
        self._settings = settings
        self._limit, self._total = settings.destination_connections, settings.total_connections
        self._forget_after_s = 2 * settings.breaker_max_s
        for breaker in self._breakers.values():
            breaker.go_by(settings)
        for destination in self._destinations.values():
            if destination.active >= self._limit:
                self._ready.pop(destination.key, None)
            else:
                self._place(destination)

    def reserve(self, key: str, now: float) -> bool:
        """Take a slot at once; False where jobs wait for one, or a limit or the breaker forbids it.

        Each ready destination is owed a slot of the total, so that fresh mail can't overtake the waiting for ever.
        """
        if self.active + len(self._ready) >= self._total:
            return False
        destination = self._destinations.get(key)
        if destination is not None and (destination.waiting or destination.active >= self._limit):
            return False
        if self._breakers and not self._passes(key, now):
            return False
        if destination is None:
            destination = self._destinations[key] = _Destination(key)
        destination.active += 1
        self.active += 1
        return True

    def enqueue(self, key: str, job: Job, priority: int = FRESH) -> None:
        """Let `job` wait for a slot, before those of a lower priority (FRESH, RETRY, REPORT)."""
        destination = self._destinations.get(key)
        if destination is None:
            destination = self._destinations[key] = _Destination(key)
        destination.append(job, priority)
        self.waiting += 1
        if destination.waiting == 1:
            self._place(destination)

    def take(self, now: float) -> tuple[str, Job] | None:
        """A waiting job and its destination, its slot taken; None where no job may go now.

        Destinations come in turn, one job each, however much waits for one of them.
        """
        if self._parked and self._parked[0][0] <= now:
            self._wake(now)
        if not self._ready or self.active >= self._total:
            return None
        key, destination = self._ready.popitem(last=False)
        job = destination.pop()
        destination.active += 1
        self.active += 1
        self.waiting -= 1
        if self._breakers and (breaker := self._breakers.get(key)) is not None and breaker.is_open:
            breaker.probe(now)
        self._place(destination)
        return key, job

    def release(self, key: str) -> None:
        """Give a slot back."""
        destination = self._destinations[key]
        if destination.active < 1:
            raise AssertionError(f"{key} gives back a slot it has not taken")
        destination.active -= 1
        self.active -= 1
        if self._breakers and not destination.active and (breaker := self._breakers.get(key)) is not None:
            breaker.abandon()
        self._settle(destination)

    def connect_failed(self, key: str, now: float) -> bool:
        """No session could be had. True: the destination is to be left alone; `drain` it and defer its jobs."""
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._breakers[key] = self._new_breaker(now)
        self._breakers.move_to_end(key)
        breaker.failed(now)
        if breaker.is_open and (destination := self._ready.pop(key, None)) is not None:
            self._park(destination, breaker)
        return breaker.is_open

    def session_opened(self, key: str) -> None:
        """The destination greeted us: its failures are forgotten."""
        if self._breakers and self._breakers.pop(key, None) is not None:
            self._revive(key)

    def forgive(self) -> None:
        """An operator wants everything attempted now: the failures of all destinations are forgotten."""
        for key in list(self._breakers):
            self.session_opened(key)

    def is_blocked(self, key: str, now: float) -> bool:
        """Whether the destination is left alone now; once its time is over a probe may go there."""
        breaker = self._breakers.get(key) if self._breakers else None
        return breaker is not None and breaker.is_open and breaker.until > now

    def waiting_at(self, key: str) -> int:
        """How many jobs wait for a slot there."""
        destination = self._destinations.get(key)
        return destination.waiting if destination is not None else 0

    def drain(self, key: str) -> list[Job]:
        """All jobs that wait for this destination; they wait here no more."""
        destination = self._destinations.get(key)
        if destination is None:
            return []
        jobs = destination.drain()
        self.waiting -= len(jobs)
        self._ready.pop(key, None)
        self._settle(destination)
        return jobs

    def _passes(self, key: str, now: float) -> bool:
        breaker = self._breakers.get(key)
        if breaker is None or not breaker.is_open:
            return True
        if not breaker.allows(now):
            return False
        breaker.probe(now)
        return True

    def _settle(self, destination: _Destination[Job]) -> None:
        if destination.waiting:
            self._place(destination)
        elif not destination.active:
            del self._destinations[destination.key]

    def _place(self, destination: _Destination[Job]) -> None:
        """Into the ring or the heap, where it isn't yet and belongs there."""
        key = destination.key
        if not destination.waiting or destination.active >= self._limit or key in self._ready:
            return
        if self._breakers and (breaker := self._breakers.get(key)) is not None and breaker.until:
            self._park(destination, breaker)
        else:
            self._ready[key] = destination

    def _park(self, destination: _Destination[Job], breaker: Breaker) -> None:
        if not breaker.is_parked:
            breaker.is_parked = True
            heappush(self._parked, (breaker.until, destination.key))

    def _wake(self, now: float) -> None:
        """Into the ring with those whose time is over; back into the heap with those whose time was put off."""
        while self._parked and self._parked[0][0] <= now:
            key = heappop(self._parked)[1]
            breaker = self._breakers.get(key)
            destination = self._destinations.get(key)
            if breaker is not None:
                breaker.is_parked = False
            if destination is None or not destination.waiting or destination.active >= self._limit:
                continue
            if breaker is not None and not breaker.allows(now):
                self._park(destination, breaker)
            else:
                self._ready[key] = destination

    def _new_breaker(self, now: float) -> Breaker:
        """A breaker, and room for it: what failed long ago is forgotten, and the oldest when there are too many."""
        while self._breakers:
            key, oldest = next(iter(self._breakers.items()))
            stale = oldest.last_failure + self._forget_after_s <= now
            if not stale and len(self._breakers) < _MOST_BREAKERS:
                break
            del self._breakers[key]
            self._revive(key)
        return Breaker(self._settings, self._randomness)

    def _revive(self, key: str) -> None:
        destination = self._destinations.get(key)
        if destination is not None:
            self._place(destination)
