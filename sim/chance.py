"""Chance rules a cluster: servers die, stop and return, network and store fail them, clocks drift.

One seed decides a whole story. In its end everything is mended, every server runs, and all that was acknowledged has to
have been delivered: `tell(seed)` gives what the checkers found.

    python -m sim.chance SEEDS [FIRST]
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
from collections.abc import Callable

import structlog

from sim.checkers import NOTHING, Findings, audit, hasty, readable
from sim.cluster import Server, World
from sim.loop import run
from sim.store_faults import Chaos

_ANSWERS = ("delivered", "delivered", "delivered", "deferred", "failed", "ambiguous")
_DRAINED_WITHIN_S = 20_000.0
_PAUSES_S = (0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0)


class Story:
    """What a seed decides: the servers, what happens to them, and what becomes of their mail."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        names = [f"mx{number}" for number in range(1, chance.choice((2, 2, 2, 3, 3, 4, 5)) + 1)]
        chaos = Chaos(chance, late_s=chance.choice((0.05, 0.5, 3.0))) if chance.random() < 0.7 else None
        self.world = World(names, chance, chaos=chaos)
        self.world.network.longest_delay_s = chance.choice((0.01, 0.3))
        self._steps: list[tuple[int, Callable[[], object]]] = [
            (10, self._mail), (2, self._crash), (3, self._return), (1, self._stop), (2, self._cut_network),
            (2, self._mend_network), (2, self._cut_store), (3, self._mend_store), (1, self._moods),
        ]  # fmt: skip

    async def tell(self) -> Findings:
        """The whole story, and what is wrong in its end."""
        for name in self.world.names:
            self._start(name)
        await asyncio.sleep(self.chance.choice(_PAUSES_S))
        weights = [weight for weight, _ in self._steps]
        for _ in range(self.chance.randint(5, 40)):
            ((_, step),) = self.chance.choices(self._steps, weights)
            done = step()
            if asyncio.iscoroutine(done):
                await done
            await asyncio.sleep(self.chance.choice(_PAUSES_S))
        await self._end_well()
        return await audit(self.world.ledger, self.world.archive)

    def _start(self, name: str) -> None:
        self.world.start(name, self.chance.uniform(0.98, 1.02))

    def _any(self) -> Server | None:
        return self.chance.choice(self.world.alive) if self.world.alive else None

    def _mail(self) -> None:
        for _ in range(self.chance.randint(1, 8)):
            if (server := self._any()) is not None:
                self.world.submit(server, self.chance.randint(1, 3))

    async def _crash(self) -> None:
        if (server := self._any()) is not None:
            await server.crash()

    async def _stop(self) -> None:
        server = self._any()
        if server is not None and not server.is_cut_off:
            await server.stop()

    def _return(self) -> None:
        for name in self.world.names:
            if not self.world.servers[name].is_alive:
                self._start(name)
                return

    def _cut_network(self) -> None:
        pairs = list(itertools.permutations(self.world.names, 2))
        self.world.network.cut |= set(self.chance.sample(pairs, self.chance.randint(1, len(pairs))))
        self.world.network.loss = self.chance.choice((0.0, 0.2))

    def _mend_network(self) -> None:
        self.world.network.cut.clear()
        self.world.network.loss = 0.0

    def _cut_store(self) -> None:
        if (server := self._any()) is not None:
            server.cut_off(hang=self.chance.random() < 0.5)

    def _mend_store(self) -> None:
        for server in self.world.alive:
            server.restore()

    def _moods(self) -> None:
        self.world.answers.update({f"r{n}@example.net": self.chance.choice(_ANSWERS) for n in range(3)})

    async def _end_well(self) -> None:
        """Mend everything, and wait until nothing is left to do."""
        self._mend_network()
        self._mend_store()
        self.world.answers.clear()
        if self.world.chaos is not None:
            self.world.chaos.lost_share = self.world.chaos.failed_share = 0.0
        for name in self.world.names:
            if not self.world.servers[name].is_alive:
                self._start(name)
        deadline = asyncio.get_running_loop().time() + _DRAINED_WITHIN_S
        # A story has no event for "nothing is left to do"; asking costs no time in it.
        while not await self._is_drained() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(10)
        for server in self.world.alive:
            await server.crash()

    async def _is_drained(self) -> bool:
        return all(server.is_idle for server in self.world.alive) and not await readable(self.world.archive)


def tell(seed: int) -> tuple[Findings, World]:
    """The story of a seed from its beginning to its end."""
    story = Story(seed)
    return run(story.tell()), story.world


def main(arguments: list[str]) -> int:
    """Tell so many stories; 1 if one of them ends badly."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    count, first = int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 0
    acknowledged = adoptions = twice = 0
    for seed in range(first, first + count):
        findings, world = tell(seed)
        acknowledged += len(world.ledger.acknowledged)
        adoptions += len(world.adoptions)
        twice += sum(copies - 1 for copies in world.ledger.delivered.values())
        if findings != NOTHING or hasty(world.archive):
            sys.stdout.write(f"seed {seed}: {findings}, adopted too soon: {sorted(hasty(world.archive))}\n")
            return 1
    sys.stdout.write(
        f"{count} stories: {acknowledged} messages acknowledged, {adoptions} adoptions, lost 0, "
        f"{twice} copies too many, every one recorded as ambiguous\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
