"""Scenes in which safeguards are tried: one store, one ledger, and processes that come and go."""

from __future__ import annotations

import asyncio

from sim.checkers import Archive, Findings, Ledger, audit
from sim.crashing import Mortality
from sim.letters import Letter
from sim.life import Life
from sim.loop import until
from sim.store import SimulatedStore
from sim.world import SeededRandomness, VirtualClock

from nightmail.journal.arrival import Arrival
from nightmail.journal.ownership import Adopter, Identity, Ownership
from nightmail.journal.reading import replay
from nightmail.journal.records import DELIVERED, Settled, Settlement
from nightmail.journal.writer import Journal
from nightmail.queue.settings import QueueSettings
from nightmail.store.settings import StoreSettings

QUEUE = "mx1.0.1"
SETTINGS = StoreSettings(url="memory://", answer_timeout_s=600.0)


class Writer:
    """A process that owns, or wants to own, a journal; its way to the store is its own."""

    def __init__(self, scene: Scene, seed: int, journal_class: type[Journal], adopter_class: type[Adopter]) -> None:
        self.store = SimulatedStore(scene.archive)
        self.clock = VirtualClock()
        self.orphans: list[Arrival] = []
        self._scene = scene
        self._randomness = SeededRandomness(seed)
        self._journal_class = journal_class
        identity = Identity(f"mx{seed}", f"life-{seed}", "", "", "")
        self.adopter = adopter_class(self.store, self.clock, self._randomness, identity, promise_ms=3000)
        self.journal: Journal | None = None

    def run(self, owned: Ownership) -> Journal:
        """Begin to write."""
        self.journal = self._journal_class(
            self.store, self.clock, self._randomness, SETTINGS, owned,
            is_busy=lambda: False, on_fenced=lambda _, orphans, why: self.orphans.extend(orphans),
        )  # fmt: skip
        self.journal.start()
        return self.journal

    async def open(self) -> Journal:
        """Open the first generation of mx1."""
        return self.run(await self.adopter.open_generation("mx1", 0))

    async def adopt(self) -> Journal | None:
        """Adopt the queue as it stands now."""
        owned = await self.adopter.adopt(QUEUE, await replay(self.store, QUEUE))
        return self.run(owned) if owned is not None else None

    def letter(self, message_id: str) -> Letter:
        """Take a message in."""
        if self.journal is None:
            raise RuntimeError("there is no journal")
        letter = Letter(message_id, self._scene.ledger)
        self.journal.accept(letter)
        return letter

    async def deliver(self, message_id: str) -> None:
        """Deliver a message and write that down."""
        if self.journal is None:
            raise RuntimeError("there is no journal")
        self._scene.ledger.deliver(message_id, 0)
        self.journal.append(Settled(message_id, (Settlement(0, DELIVERED),)), urgent=True)
        await calm()

    @property
    def believes(self) -> bool:
        """Whether it takes itself for the owner."""
        return self.journal is not None and not self.journal.is_fenced


class Scene:
    """What all processes share."""

    def __init__(self) -> None:
        self.archive = Archive()
        self.ledger = Ledger()
        self.writers: list[Writer] = []

    def writer(self, journal_class: type[Journal] = Journal, adopter_class: type[Adopter] = Adopter) -> Writer:
        """One more process that writes journals."""
        writer = Writer(self, len(self.writers) + 1, journal_class, adopter_class)
        self.writers.append(writer)
        return writer

    async def life(
        self,
        seed: int = 1,
        store: SimulatedStore | None = None,
        mortality: Mortality | None = None,
        queue_settings: QueueSettings | None = None,
    ) -> Life:
        """One more life of the switch of mx1."""
        store = store or SimulatedStore(self.archive)
        life = Life(store, self.ledger, seed=seed, mortality=mortality, queue_settings=queue_settings)
        return await life.start()

    async def finish(self, seed: int = 9) -> None:
        """Let a last life adopt and deliver everything that it finds."""
        life = await self.life(seed)
        await until(lambda: life.switch.generations.is_complete and life.is_idle, within_s=10_000, step_s=0.1)
        await life.stop()

    async def findings(self) -> Findings:
        """What is wrong now."""
        return await audit(self.ledger, self.archive)

    @property
    def owners(self) -> int:
        """How many take themselves for the queue's owner."""
        return sum(writer.believes for writer in self.writers)


async def calm() -> None:
    """Let everything happen that takes no time."""
    for _ in range(50):
        await asyncio.sleep(0)
