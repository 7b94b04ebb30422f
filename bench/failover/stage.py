"""A pair under load that can be struck, and a watch on what becomes of its mail."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

from bench.processes import CLOCK, BenchFailed
from nightmail.cli.demo.clients import Clients
from nightmail.cli.demo.inbox import DOMAIN, Inbox
from nightmail.cli.demo.ledger import Answer, Arrival, Books, Ledger
from nightmail.cli.demo.pair import NAMES, Pair
from nightmail.world import SystemRandomness

LEASE_S = 1.0
_LISTEN_S = 0.01
_PATIENCE_S = 60.0
_MESSAGES_AT_MOST = 1_000_000

_T = TypeVar("_T")


class TimedBooks(Books):
    """Books that know when: `acknowledged_at` by message, `arrivals` with the instant of each, in elapsed seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.acknowledged_at: dict[int, float] = {}
        self.arrivals: list[tuple[float, Arrival]] = []

    def note_sent(self, number: int, answer: Answer, queue_id: str = "") -> None:
        """A client was answered, or knows that it will not be."""
        super().note_sent(number, answer, queue_id)
        if answer == "acknowledged":
            self.acknowledged_at[number] = CLOCK.elapsed()

    def note_arrival(self, arrival: Arrival) -> None:
        """A whole copy reached its destination."""
        super().note_arrival(arrival)
        self.arrivals.append((CLOCK.elapsed(), arrival))

    def second_copies(self, since: float) -> int:
        """How many messages arrived once more since then."""
        seen: set[int] = set()
        again = 0
        for at, arrival in self.arrivals:
            again += arrival.number in seen and at >= since
            seen.add(arrival.number)
        return again


class Stage:
    """The pair, its load and its books. `adopted` has, by queue, when and by whom it was adopted last, and how much.

    `started_at` is when each server was last started by us, 0.0 where it was there from the beginning.
    """

    def __init__(self, pair: Pair, inbox: Inbox, books: TimedBooks) -> None:
        self.pair = pair
        self.inbox = inbox
        self.books = books
        self.adopted: dict[str, tuple[float, str, int]] = {}
        self.ambiguous: set[str] = set()
        self.started_at = dict.fromkeys(NAMES, 0.0)

    @contextlib.asynccontextmanager
    async def loaded(self, *, sessions: int = 24, rest_s: float = 0.12) -> AsyncIterator[Clients]:
        """Clients at work, until the end of the block."""
        clients = Clients(
            self.books, self.pair.port, CLOCK, SystemRandomness(),
            sessions=sessions, rest_s=rest_s, limit=_MESSAGES_AT_MOST, after=max(self.books.sent, default=0),
        )  # fmt: skip
        clients.start()
        try:
            yield clients
        finally:
            await clients.finish()

    async def waiting(self, name: str) -> int:
        """How many messages a server has in its queues."""
        picture = await self.pair.servers[name].picture()
        return sum(queue.messages for queue in picture.queues) if picture else 0

    async def build_up(self, name: str, count: int) -> None:
        """Have the destination send everything away until so many messages wait at a server, then take mail again."""
        self.inbox.is_willing = False
        async with self.loaded(sessions=40, rest_s=0.02):
            await until_true(lambda: self.waiting(name), lambda waiting: waiting >= count, f"{count} messages wait")
        self.inbox.is_willing = True

    async def kill(self, name: str) -> tuple[float, set[str]]:
        """Kill -9 for a whole server; when that was, and the queues that it ran."""
        picture = await self.pair.servers[name].picture()
        if picture is None:
            raise BenchFailed(f"{name} does not answer: {self.pair.servers[name].last_words()}")
        queues = {queue.id for queue in picture.queues if queue.owner == name}
        at = CLOCK.elapsed()
        await self.pair.servers[name].kill()
        return at, queues

    async def start(self, name: str) -> None:
        """Start a server again; returns once it takes mail."""
        self.started_at[name] = CLOCK.elapsed()
        await self.pair.servers[name].start()
        await self.pair.until_serving(name)

    async def until_adopted(self, queues: set[str], since: float) -> float:
        """When the last of these queues was adopted after `since`."""

        async def missing() -> set[str]:
            self.hear()
            return {queue for queue in queues if queue not in self.adopted or self.adopted[queue][0] < since}

        await until_true(missing, lambda left: not left, f"the adoption of {', '.join(sorted(queues))}")
        return max(self.adopted[queue][0] for queue in queues)

    async def until_served(self, dead: str, since: float, by: str = "") -> float:
        """When the first message that lay in a queue of `dead` was brought by a process that goes on with it.

        That is `dead` itself, in a session begun after `since`, or another server; where `by` is given, that one.
        """
        begun, looked_at = self.started_at[dead], 0

        def is_it(arrival: Arrival) -> bool:
            is_by_another_process = arrival.brought_by != dead or arrival.session_began >= since
            # Who was cut off amid the answer knows no moment of it; another server has it from before the kill.
            unanswered = since if arrival.brought_by == dead else begun
            taken_at = self.books.acknowledged_at.get(arrival.number, unanswered)
            is_of_the_dead = arrival.taken_by == dead and begun <= taken_at < since
            return is_of_the_dead and is_by_another_process and by in ("", arrival.brought_by)

        async def found() -> float:
            nonlocal looked_at
            arrivals = self.books.arrivals
            while looked_at < len(arrivals):
                at, arrival = arrivals[looked_at]
                looked_at += 1
                if at >= since and is_it(arrival):
                    return at
            return 0.0

        return await until_true(found, bool, f"a delivery of what {dead} had taken")

    async def audited(self) -> Ledger:
        """Wait until nothing is queued for the inbox, and hold the books against each other."""

        async def queued() -> frozenset[str]:
            told = [await server.queued_ids(f"@{DOMAIN}") for server in self.pair.servers.values()]
            return frozenset[str]().union(*(frozenset("?") if ids is None else ids for ids in told))

        await until_true(queued, lambda ids: not ids, "empty queues")
        self.hear()
        return self.books.audit(frozenset(), frozenset(self.ambiguous))

    async def listen(self) -> None:
        """Read the servers' logs as they grow, until cancelled."""
        while True:
            self.hear()
            await asyncio.sleep(_LISTEN_S)

    def hear(self) -> None:
        """Read what the servers logged meanwhile."""
        for name, server in self.pair.servers.items():
            for line in server.new_lines():
                if line.event == "queue adopted":
                    self.adopted[line.queue] = (CLOCK.elapsed(), name, line.messages)
                elif line.status == "ambiguous":
                    self.ambiguous.add(line.id)


@contextlib.asynccontextmanager
async def opened(
    place: Path, *, retry_s: float = 2.0, destinations: Mapping[str, int] | None = None
) -> AsyncIterator[Stage]:
    """A running pair, with nobody in front of it yet; `destinations` are further domains and their ports."""
    books = TimedBooks()
    inbox = Inbox(books, CLOCK)
    await inbox.open()
    ports = {DOMAIN: inbox.port, **(destinations or {})}
    pair = Pair(place, CLOCK, ports, lease_s=LEASE_S, retry_s=retry_s)
    stage = Stage(pair, inbox, books)
    listening = asyncio.create_task(stage.listen())
    try:
        await pair.start(SystemRandomness())
        yield stage
    finally:
        listening.cancel()
        inbox.close()
        await pair.stop()


async def until_true(look: Callable[[], Awaitable[_T]], is_it: Callable[[_T], bool], what: str) -> _T:
    """Wait until what `look` finds is what was wanted, and return it. Raises: BenchFailed."""
    deadline = CLOCK.elapsed() + _PATIENCE_S
    while not is_it(found := await look()):
        if CLOCK.elapsed() > deadline:
            raise BenchFailed(f"{what}: not within {_PATIENCE_S:.0f} s")
        await asyncio.sleep(_LISTEN_S)
    return found
