"""Replicas of a directory in virtual time, and the ledger that they are held against.

A replica keeps entries, each of several attributes that different writers change, and sends them to whoever follows it,
as whole entries with the number of their last change. What is asked of a frozen one is done once it thaws, though
whoever asked has given up.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from nightmail.directory.comparing import Seen
from nightmail.directory.managing import Part
from nightmail.errors import DirectoryUnavailable
from sim.process import OUTSIDE, Process
from sim.world import VirtualClock

_ASK_S = 0.35
_LOOK_AGAIN_S = 0.3
_BROKEN_S = 0.1

T = TypeVar("T")


class Entry(NamedTuple):
    """As it was last changed: the number of that change, and what writer last wrote what."""

    csn: str
    values: dict[str, int]


Sent = tuple[str, Entry | None, str]
"""An entry by its name as it is now, or that it is gone, and the number of the change."""


class Wire:
    """Carries requests between slapds and those who use them. `cut` holds pairs of servers that can't reach each other;
    the name of a writer is empty, and reaches all. `late` are entries whose changes take so many seconds to a shadow.
    """

    def __init__(self, chance: random.Random) -> None:
        self.cut: set[frozenset[str]] = set()
        self.is_quick = False
        self.late: dict[str, float] = {}
        self._chance = chance

    def reaches(self, one: str, other: str) -> bool:
        """Whether what one sends arrives."""
        return frozenset((one, other)) not in self.cut

    def delay(self) -> float:
        """How long something is on its way: mostly not long."""
        if self.is_quick:
            return 0.001
        return self._chance.uniform(0, 0.004) if self._chance.random() < 0.95 else self._chance.uniform(0, 0.5)


class Surroundings(Protocol):
    """What there is around a replica."""

    wire: Wire
    slapds: dict[str, Slapd]
    ledger: Ledger

    def epoch(self) -> int:
        """The newest epoch of the master's role."""
        ...


class Slapd:
    """The replica of one server, over all of its processes: entries and the note beside them outlast these.

    `passes_over` are entries that it misses though it is told of them. `level` is the number of the last change that it
    took, or passed over.
    """

    def __init__(self, world: Surroundings, server: str, clock: VirtualClock) -> None:
        self.server = server
        self.entries: dict[str, Entry] = {}
        self.passes_over: set[str] = set()
        self.level = ""
        self.pid = 0
        self.state = "starting"
        self.process = Process(f"slapd of {server}")
        self.reseed: Callable[[], None] = lambda: None
        self.started: Callable[[], None] = lambda: None
        self._world = world
        self._clock = clock
        self._noted = ""
        self._pids = 0
        self._changes = 0
        self._part = Part()
        self._is_read_only = False
        self._links: dict[str, asyncio.Queue[Sent]] = {}
        self._has_provider = asyncio.Event()

    @property
    def takes_writes(self) -> bool:
        """Whether its gate is open."""
        return self.pid > 0 and self._part.is_open

    # The note (`mastership.Note`).

    def read(self) -> str:
        """See `Note.read`."""
        return self._noted

    def write(self, epoch: str) -> None:
        """See `Note.write`."""
        self._noted = epoch

    def forget(self) -> None:
        """See `Note.forget`."""
        self._noted = ""

    # The process (`mastership.Replica`).

    def start(self) -> None:
        """Begin a new process, with its gate shut."""
        self._pids += 1
        self.pid, self.state = self._pids, "running"
        self._part, self._is_read_only, self._links = Part(), False, {}
        self.process = Process(f"slapd {self.pid} of {self.server}")
        self.process.task(self._consume())
        self.started()

    async def kill(self) -> None:
        """Kill -9."""
        self.pid, self.state = 0, "restarting"
        await self.process.kill()

    def start_anew(self) -> None:
        """See `Replica.start_anew`: the supervisor of the server does it, a moment later."""
        self.state = "starting"
        self.reseed()

    # What the manager asks (`gate.Hands`).

    async def follow(self, provider: str, master: str, epoch: int) -> None:
        """See `Hands.follow`."""

        def do() -> None:
            self._part = Part(master, epoch, is_open=False, provider=provider)
            self._has_provider.set()

        await self.ask("", do)

    async def lead(self, epoch: int, master: str) -> None:
        """See `Hands.lead`."""
        await self.ask("", lambda: self.take_writes(epoch, master))

    async def shut(self, *, is_last: bool = False) -> None:
        """See `Hands.shut`."""

        def do() -> None:
            self._part, self._is_read_only = self._part._replace(is_open=False), is_last

        await self.ask("", do)

    async def look(self) -> tuple[Part, str]:
        """See `Hands.look`."""
        return await self.ask("", lambda: (self._part, self._newest()))

    def take_writes(self, epoch: int, master: str, *, is_alone: bool = True) -> None:
        """Be the master; one that is not alone takes what it is sent, too."""
        provider = "" if is_alone else self._part.provider
        self._part, self._is_read_only = Part(master, epoch, is_open=True, provider=provider), False
        if epoch == self._world.epoch():  # who was deposed and does not know it yet may lack what is acknowledged since
            self._world.ledger.check(self)

    # What others ask.

    async def ask(self, sender: str, work: Callable[[], T]) -> T:
        """Have the process do something, as soon as it runs. Raises: DirectoryUnavailable: no answer in time."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        process, pid = self.process, self.pid

        def reply(result: T | Exception) -> None:
            if answer.done() or not self._world.wire.reaches(sender, self.server):
                return
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)

        def perform() -> None:
            if self.pid != pid:
                return
            try:
                result: T | Exception = work()
            except DirectoryUnavailable as error:
                result = error
            loop.call_later(self._world.wire.delay(), reply, result, context=OUTSIDE)

        if pid and self._world.wire.reaches(sender, self.server):
            loop.call_later(self._world.wire.delay(), process.call, perform, context=OUTSIDE)
        try:
            async with asyncio.timeout(_ASK_S):
                return await answer
        except TimeoutError:
            raise DirectoryUnavailable(f"{self.server} does not answer") from None

    async def change(self, name: str, writer: str, number: int) -> str:
        """Have a writer's value in an entry be `number`, or delete the entry where that is negative; the change's own
        number. Raises: DirectoryUnavailable.
        """
        return await self.ask("", lambda: self._change(name, writer, number))

    async def see(self, sender: str) -> Seen:
        """See `Peers.see`."""
        return await self.ask(sender, self._seen)

    async def copy(self, sender: str) -> tuple[dict[str, Entry], str]:
        """All of its entries, as they are at one moment, and how far that is."""
        return await self.ask(sender, lambda: (dict(self.entries), self.level))

    def _seen(self) -> Seen:
        if not self._part.epoch:
            raise DirectoryUnavailable("it was not told its role yet")
        return Seen(self._part.epoch, self._part.is_open, self._newest())

    def _newest(self) -> str:
        return max(self.level, max((entry.csn for entry in self.entries.values()), default=""))

    def _change(self, name: str, writer: str, number: int) -> str:
        if not self._part.is_open or self._is_read_only:
            raise DirectoryUnavailable("it takes no writes")
        if number < 0:
            self.entries.pop(name, None)
            self.level = self._next_csn()
            self._send(name, None)
            return self.level
        old = self.entries.get(name, Entry("", {}))
        if old.values.get(writer, number) > number:
            raise DirectoryUnavailable("it comes after what its writer wrote later")
        self.level = self._next_csn()
        self.entries[name] = entry = Entry(self.level, {**old.values, writer: number})
        self._send(name, entry)
        return entry.csn

    def _next_csn(self) -> str:
        self._changes += 1
        now = self._clock.wall()
        moment = time.strftime("%Y%m%d%H%M%S", time.gmtime(now))
        return f"{moment}.{int(now % 1 * 1e6):06}Z#{self._changes:06x}#00{self.server[-1]}#000000"

    # Replication.

    def _send(self, name: str, entry: Entry | None) -> None:
        self._links = {to: waiting for to, waiting in self._links.items() if self._world.wire.reaches(self.server, to)}
        for waiting in self._links.values():
            waiting.put_nowait((name, entry, self.level))

    def is_linked(self, waiting: asyncio.Queue[Sent]) -> bool:
        """Whether whoever waits there is still sent what changes."""
        return any(waiting is each for each in self._links.values())

    def serve(self, follower: str) -> tuple[dict[str, Entry], str, asyncio.Queue[Sent]]:
        """All entries, how far that is, and what will be changed after them."""
        waiting: asyncio.Queue[Sent] = asyncio.Queue()
        self._links[follower] = waiting
        return dict(self.entries), self.level, waiting

    async def _consume(self) -> None:
        """Have what the provider has, for as long as there is one; a connection that breaks is made again."""
        while True:
            await self._has_provider.wait()
            if not (provider := self._part.provider):
                self._has_provider.clear()
                continue
            try:
                await self._follow(self._world.slapds[provider], provider)
            except DirectoryUnavailable:
                await asyncio.sleep(_LOOK_AGAIN_S)

    async def _follow(self, source: Slapd, provider: str) -> None:
        pid = source.pid
        whole, level, waiting = await source.ask(self.server, lambda: source.serve(self.server))
        if self._part.provider != provider:
            return
        missed = self.passes_over - self.entries.keys()
        self.entries = {name: self._newer(name, entry) for name, entry in whole.items() if name not in missed}
        self.level = level
        while self._part.provider == provider and self._world.wire.reaches(self.server, source.server):
            try:
                async with asyncio.timeout(_BROKEN_S):
                    name, entry, level = await waiting.get()
            except TimeoutError:
                if source.pid != pid or not source.is_linked(waiting):
                    return
                continue
            await asyncio.sleep(self._world.wire.late.get(name) or self._world.wire.delay())
            if self._part.provider != provider or not self._world.wire.reaches(self.server, source.server):
                return
            self.level = level
            if name in self.passes_over:
                continue
            if entry is None:
                self.entries.pop(name, None)
            else:
                self.entries[name] = self._newer(name, entry)

    def _newer(self, name: str, entry: Entry) -> Entry:
        return max(self.entries.get(name, entry), entry, key=lambda each: each.csn)


class Ledger:
    """What was acknowledged: the last number of each writer in each entry, and the entries that were deleted."""

    def __init__(self) -> None:
        self.written: dict[tuple[str, str], int] = {}
        self.deleted: set[str] = set()
        self.violations: list[str] = []

    def attempt(self, name: str, number: int) -> None:
        """Somebody tries: who deletes has no right any more to find the entry, nor not to."""
        if number < 0:
            self.written = {key: value for key, value in self.written.items() if key[0] != name}

    def note(self, name: str, writer: str, number: int) -> None:
        """It was acknowledged."""
        if number < 0:
            self.deleted.add(name)
        else:
            self.written[name, writer] = number

    def check(self, slapd: Slapd) -> None:
        """Whoever takes writes has everything that was acknowledged."""
        now = f"at {asyncio.get_running_loop().time():.3f} {slapd.server}"
        for (name, writer), number in self.written.items():
            has = slapd.entries.get(name, Entry("", {})).values.get(writer, -1)
            if has < number:
                self.violations.append(f"{now} lacks {name}: {writer} wrote {number}, it has {has}")
        back = sorted(self.deleted & slapd.entries.keys())
        self.violations += [f"{now} has {name}, which was deleted" for name in back]
