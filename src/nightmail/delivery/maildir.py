"""Delivery into Maildirs: many messages share one trip to a thread and one sync of a directory.

Messages that are at hand wait for the next free thread and go there together. A large one that has to be read is
written range by range first, and joins a trip only for its end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from nightmail.delivery.job import Job, Outcome
from nightmail.delivery.maildir_files import Deposit, Folders, failure_reply, spool, store
from nightmail.errors import DeliveryFailed
from nightmail.mail.reply import Reply
from nightmail.routing.route import Route, maildir_path, maildir_root
from nightmail.world import Randomness

_TRIP_MESSAGES = 64
_TRIP_BYTES = 8 * 1024 * 1024
_WHOLE_BYTES = 1024 * 1024
_RANGE_BYTES = 256 * 1024
_BROKEN_OFF = Reply(451, "4.3.0", "delivery was broken off")


class MaildirTransport:
    """Puts messages into Maildirs; a delivery that is repeated finds its file and does no more."""

    def __init__(self, randomness: Randomness, threads: int = 4) -> None:
        self._randomness = randomness
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "maildir")
        self._folders = Folders()
        self._ready: deque[_Visit] = deque()
        self._trips: set[asyncio.Future[None]] = set()
        self._reading: set[asyncio.Task[None]] = set()
        self._is_starting = False

    def deliver(self, route: Route, job: Job) -> None:
        """As `Transport.deliver` promises; the route's path names the Maildirs."""
        visit = _Visit(job, route.path, self._randomness.token(6).hex())
        if job.body.in_memory is not None or not visit.deposits:
            self._join(visit)
            return
        reading = asyncio.get_running_loop().create_task(self._read(visit))
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)

    async def close(self) -> None:
        """Let what was taken come to its end."""
        self._start()
        while under_way := {*self._reading, *self._trips}:
            await asyncio.wait(under_way)
            self._start()
        self._pool.shutdown()

    def _join(self, visit: _Visit) -> None:
        """Let it go with the next trip; those that come in the same turn of the loop go together."""
        self._ready.append(visit)
        if not self._is_starting:
            self._is_starting = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._is_starting = False
        loop = asyncio.get_running_loop()
        while self._ready and len(self._trips) < self._threads:
            visits = self._load()
            deposits = [deposit for visit in visits for deposit in visit.deposits]
            trip = loop.run_in_executor(self._pool, store, deposits, self._folders)
            self._trips.add(trip)
            trip.add_done_callback(partial(self._ended, visits))

    def _load(self) -> list[_Visit]:
        """As many of those that wait as go together, at least one."""
        visits: list[_Visit] = []
        size_bytes = 0
        while self._ready and len(visits) < _TRIP_MESSAGES and size_bytes < _TRIP_BYTES:
            visit = self._ready.popleft()
            size_bytes += visit.job.body.size_bytes
            visits.append(visit)
        return visits

    def _ended(self, visits: list[_Visit], trip: asyncio.Future[None]) -> None:
        self._trips.discard(trip)
        if self._ready:
            self._start()
        loop = asyncio.get_running_loop()
        for visit in visits:
            loop.call_soon(visit.end)  # apart, so that one job's trouble is not another's

    async def _read(self, visit: _Visit) -> None:
        """Fetch a body that is not at hand: a small one whole, a large one straight into the files."""
        try:
            if visit.job.body.size_bytes <= _WHOLE_BYTES:
                await visit.fetch()
            else:
                await visit.spool(self._in_thread, self._folders)
        except Exception as error:  # noqa: BLE001  an unknown failure of a delivery is temporary
            visit.fail(error)
        self._join(visit)

    async def _in_thread(self, step: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._pool, step)


class _Visit:
    """One job's deposits, one for each of its recipients that has a Maildir."""

    def __init__(self, job: Job, template: str, tag: str) -> None:
        self.job = job
        self.deposits: list[Deposit] = []
        self._refused: list[Outcome] = []
        root = maildir_root(template)
        for index in job.recipients:
            try:
                path = maildir_path(template, job.envelope.recipients[index].address)
            except DeliveryFailed as error:
                self._refused.append(Outcome(index, "failed", error.reply, False, "maildir"))
            else:
                self.deposits.append(Deposit(job, index, root, path, tag))

    async def fetch(self) -> None:
        """Bring the whole body into memory. Raises: what reading raises."""
        content = memoryview(await self.job.body.read(0, self.job.body.size_bytes))
        for deposit in self.deposits:
            deposit.content = content

    async def spool(self, in_thread: Callable[[Callable[[], None]], Awaitable[None]], folders: Folders) -> None:
        """Write the body into the files range by range. Raises: what reading raises."""
        size_bytes = self.job.body.size_bytes
        for offset in range(0, size_bytes, _RANGE_BYTES):
            piece = await self.job.body.read(offset, min(_RANGE_BYTES, size_bytes - offset))
            await in_thread(partial(spool, self.deposits, piece, folders))

    def fail(self, error: Exception) -> None:
        """Settle all that are open as deferred."""
        for deposit in self.deposits:
            deposit.settle("deferred", failure_reply(error, deposit.root))

    def end(self) -> None:
        """Tell the job."""
        outcomes = self._refused
        outcomes += [d.outcome or Outcome(d.index, "deferred", _BROKEN_OFF, False, "maildir") for d in self.deposits]
        self.job.finished(outcomes)
