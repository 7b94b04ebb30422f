"""Chance decides: a store that delays, loses and fails, processes that die at any moment, and the same checkers.

A seed that fails replays the whole run.
"""

from __future__ import annotations

import asyncio
import random

import pytest
from sim.checkers import NOTHING
from sim.life import Client, Life
from sim.loop import run
from sim.store import SimulatedStore
from sim.store_faults import Chaos
from tests.ablations.scenes import Scene
from tests.conftest import Campaign

from nightmail.delivery.job import OutcomeKind
from nightmail.queue.settings import QueueSettings
from nightmail.switch.attempts import Round
from nightmail.switch.owned import OwnedQueue

RETRIES = QueueSettings(retry_first_s=5.0, retry_max_s=20.0, destination_connections=3, delay_report_s=30.0)
ANSWERS: list[OutcomeKind] = ["delivered", "delivered", "delivered", "deferred", "failed", "ambiguous"]


class World:
    """One run of chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.scene = Scene()
        self.numbers = iter(range(1_000_000))
        self.lives = 0
        self.cut_off: list[tuple[Life, SimulatedStore]] = []

    async def live(self) -> None:
        """One life on a bad store: takes mail, meets moody destinations, and dies, ends, or is cut off for a while."""
        chance = self.chance
        store = SimulatedStore(self.scene.archive, chaos=Chaos(chance, late_s=chance.choice([0.1, 5.0, 200.0])))
        self.lives += 1
        life = Life(store, self.scene.ledger, seed=self.lives, queue_settings=RETRIES)
        starting = asyncio.ensure_future(life.start())
        for _ in range(chance.randint(3, 30)):
            await self._happen(life, store)
        end = chance.random()
        if end < 0.3:
            store.cut(hang=chance.random() < 0.5)
            self.cut_off.append((life, store))
            return
        store.restore()
        starting.cancel()
        await (life.stop() if end < 0.5 else life.crash())

    async def come_back(self) -> None:
        """Who was cut off has the store again, and goes on for a while."""
        for life, store in self.cut_off:
            store.restore()
            self._submit(life)
            await asyncio.sleep(self.chance.choice([0.01, 1.0, 60.0]))
            await life.crash()
        self.cut_off.clear()

    async def _happen(self, life: Life, store: SimulatedStore) -> None:
        chance = self.chance
        match chance.randrange(8):
            case 0:
                life.sink.answers = {f"r{n}@example.net": chance.choice(ANSWERS) for n in range(3)}
            case 1:
                store.cut(hang=chance.random() < 0.5)
            case 2:
                store.restore()
            case _:
                clients = [self._submit(life) for _ in range(chance.randint(1, 5))]
                clients[0].is_gone = chance.random() < 0.1
        await asyncio.sleep(chance.choice([0.001, 0.01, 0.1, 1.0, 20.0]))

    def _submit(self, life: Life) -> Client:
        return life.submit(f"M{next(self.numbers)}", recipients=self.chance.randint(1, 3))


async def tell(seed: int) -> World:
    """Several lives one after another, and a last one that finishes in peace."""
    world = World(seed)
    for _ in range(world.chance.randint(1, 4)):
        await world.live()
        if world.chance.random() < 0.3:
            await world.come_back()
    await world.come_back()
    await world.scene.finish(seed=99)
    return world


def test_whatever_chance_does_nothing_is_lost_and_nothing_doubled_unknown(campaign: Campaign) -> None:
    acknowledged = 0
    for seed in range(campaign(40, 2_000)):
        world = run(tell(seed))
        findings = run(world.scene.findings())
        assert findings == NOTHING, f"seed {seed} replays this"
        acknowledged += len(world.scene.ledger.acknowledged)
    assert acknowledged > 500


def test_a_seed_replays_the_whole_run() -> None:
    first, second = run(tell(7)), run(tell(7))
    assert first.scene.ledger == second.scene.ledger
    assert first.scene.archive.landed == second.scene.archive.landed


def test_chance_finds_a_safeguard_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = OwnedQueue.reserve

    def reserve_and_say_nothing(self: OwnedQueue, round_: Round) -> tuple[int, ...]:
        reserve(self, round_)
        return ()

    monkeypatch.setattr(OwnedQueue, "reserve", reserve_and_say_nothing)
    worlds = (run(tell(seed)) for seed in range(100))
    assert any(run(world.scene.findings()).doubled for world in worlds)
