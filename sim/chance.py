"""Chance rules a cluster: servers die, stop, freeze and return, network and store fail them, clocks go wrong.

One seed decides a whole story. In its end everything is mended, every server runs, and all that was acknowledged has to
have been delivered: `tell(seed)` gives what the checkers found. `python -m sim.campaign SEEDS [FIRST]` tells many.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from hashlib import blake2b

from sim.checkers import Findings, readable
from sim.cluster import Server, World
from sim.loop import run
from sim.process import OUTSIDE, Process
from sim.store_faults import Chaos
from sim.timeline import audit_all

_ANSWERS = ("delivered", "delivered", "delivered", "deferred", "failed", "ambiguous")
_DRAINED_WITHIN_S = 2_000.0
_PAUSES_S = (0.01, 0.1, 0.1, 0.5, 0.5, 1.0, 1.0, 2.0, 2.0, 5.0, 12.0)
_ARRIVALS_S = (0.0, 0.005, 0.05, 0.3, 1.0, 3.0)
_FREEZES_S = (0.2, 0.7, 1.05, 1.3, 2.0, 3.0, 6.0, 12.0, 90.0)
_DELIVERIES_S = (0.0, 0.01, 0.1, 0.5, 0.9, 1.5)
_JUMPS_S = (-200.0, -20.0, -2.0, 2.0, 20.0, 200.0)


class Story:
    """What a seed decides: the servers, what happens to them, and what becomes of their mail."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        names = [f"mx{number}" for number in range(1, chance.choice((2, 2, 2, 3, 3, 4, 5)) + 1)]
        late_s = chance.choice((0.05, 0.5, 3.0, 100.0))
        self.world = World(names, chance, chaos=Chaos(chance, late_s=late_s) if chance.random() < 0.7 else None)
        self.world.network.longest_delay_s = chance.choice((0.01, 0.3))
        if chance.random() < 0.5:
            self.world.delivery_takes_s = lambda: chance.choice(_DELIVERIES_S)
        self._is_ending = False
        self._steps: list[tuple[int, Callable[[], object]]] = [
            (10, self._mail), (2, self._crash), (3, self._return), (1, self._stop), (2, self._cut_network),
            (2, self._mend_network), (2, self._cut_store), (3, self._mend_store), (1, self._moods),
            (3, self._freeze), (1, self._set_clock), (1, self._hang_up), (1, self._send_again),
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
        findings = await audit_all(self.world.ledger, self.world.archive)
        return findings._replace(left=frozenset(await readable(self.world.archive)))

    def _start(self, name: str) -> None:
        self.world.start(name, self.chance.uniform(0.95, 1.05))

    def _any(self) -> Server | None:
        return self.chance.choice(self.world.alive) if self.world.alive else None

    def _mail(self) -> None:
        """Some messages, now and in the next seconds, whatever happens then."""
        for _ in range(self.chance.randint(1, 8)):
            recipients, after_s = self.chance.randint(1, 3), self.chance.choice(_ARRIVALS_S)
            asyncio.get_running_loop().call_later(after_s, self._submit, recipients, context=OUTSIDE)

    def _submit(self, recipients: int) -> None:
        if not self._is_ending and (server := self._any()) is not None:
            self.world.submit(server, recipients)

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

    def _freeze(self) -> None:
        """Stop a switch, a supervisor or a whole server, for a while."""
        if (server := self._any()) is None:
            return
        processes = server.processes
        frozen = processes if self.chance.random() < 0.4 else [self.chance.choice(processes)]
        for process in frozen:
            process.freeze()
        asyncio.get_running_loop().call_later(self.chance.choice(_FREEZES_S), self._thaw, frozen, context=OUTSIDE)

    def _thaw(self, frozen: list[Process]) -> None:
        for process in frozen:
            process.thaw(timers_first=self.chance.random() < 0.5)

    def _set_clock(self) -> None:
        """The time of day jumps on one server."""
        if (server := self._any()) is not None:
            server.clock.wall_error_s = self.chance.choice(_JUMPS_S)

    def _hang_up(self) -> None:
        self.world.hang_up()

    def _send_again(self) -> None:
        if (server := self._any()) is not None:
            self.world.send_again(server)

    async def _end_well(self) -> None:
        """Mend everything, and wait until nothing is left to do."""
        self._is_ending = True
        self._mend_network()
        self._mend_store()
        self.world.answers.clear()
        if self.world.chaos is not None:
            self.world.chaos.lost_share = self.world.chaos.failed_share = 0.0
        for name in self.world.names:
            if not self.world.servers[name].is_alive:
                self._start(name)
        for server in self.world.alive:
            server.clock.wall_error_s = 0.0
            self._thaw(server.processes)
        self._send_again()
        deadline = asyncio.get_running_loop().time() + _DRAINED_WITHIN_S
        # A story has no event for "nothing is left to do"; asking costs no time in it.
        while not await self._is_drained() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(2)
        for server in self.world.alive:
            await server.crash()

    async def _is_drained(self) -> bool:
        world = self.world
        is_idle = world.all_answered and all(server.is_idle for server in world.alive)
        return is_idle and not await readable(world.archive)


def tell(seed: int) -> tuple[Findings, World]:
    """The story of a seed from its beginning to its end."""
    story = Story(seed)
    return run(story.tell()), story.world


def trace(seed: int) -> str:
    """A digest of all that a story told: what landed, from whom and when, and what the outside saw."""
    findings, world = tell(seed)
    ledger = world.ledger
    digest = blake2b(digest_size=16)
    for landing, (_, data) in zip(world.archive.landings, world.archive.landed, strict=True):
        digest.update(repr(landing[1:]).encode() + data)
    digest.update(repr([findings, ledger.acknowledged, ledger.dots, list(ledger.delivered.items())]).encode())
    digest.update(repr([sorted(ledger.refused), sorted(ledger.unanswered), world.adoptions]).encode())
    return digest.hexdigest()
