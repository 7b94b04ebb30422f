"""The power goes while the store is written to: what it acknowledged is there and whole, every time.

Each round opens the store anew, as a server does that has just started, writes in four queues at once, loses the
power in the middle and compares. A second look at the method: without either of its syncs the same rounds find losses.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.conftest import Campaign
from tests.eventloop import on_a_loop
from tests.faults.power import LossyMount, lossy_mount

from nightmail.errors import StoreUnavailable
from nightmail.store.disk import Disk
from nightmail.store.posix import PosixStore
from nightmail.store.protocol import NotFound, Put
from nightmail.world import SystemRandomness

SEED = 20
WRITERS = 4
WHOLE = 1 << 40
ROUNDS_TO_FIND_A_LOSS = 20


class WithoutSyncOfFile(Disk):
    def sync_file(self, descriptor: int) -> None:
        pass


class WithoutSyncOfDirectory(Disk):
    def sync_directory(self, descriptor: int) -> None:
        pass


def content_of(key: str) -> bytes:
    """What belongs under a key: from a few bytes to ten blocks, different in every block."""
    chance = random.Random(key)
    return chance.randbytes(chance.choice((10, 4_000, 40_000)))


@dataclass
class Books:
    """What was acknowledged, and what a look after the power loss found wrong."""

    acknowledged: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)


class PowerLoss:
    """Rounds of writing and losing the power on one mounted disk."""

    def __init__(self, disk: LossyMount, calls: Disk, seed: int) -> None:
        self.books = Books()
        self._disk = disk
        self._calls = calls
        self._chance = random.Random(seed)
        self._round = 0

    async def strike(self) -> None:
        """One round."""
        self._round += 1
        store = PosixStore(str(self._disk.path / "store"), SystemRandomness(), self._calls)
        before = len(self.books.acknowledged)
        enough = asyncio.Event()
        goal = before + self._chance.randrange(1, 30)
        writers = [asyncio.ensure_future(self._write(store, n, goal, enough)) for n in range(WRITERS)]
        await enough.wait()
        await asyncio.to_thread(self._disk.crash, strict=self._chance.random() < 0.3)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        await store.close()
        await self._look(self.books.acknowledged[before:], [self._queue(writer) for writer in range(WRITERS)])

    async def look_at_everything(self) -> None:
        """Compare all that was ever acknowledged, and all that is visible."""
        await self._look(self.books.acknowledged, ["queues"])

    def _queue(self, writer: int) -> str:
        return f"queues/mx1.{writer}.{self._round}"

    async def _write(self, store: PosixStore, writer: int, goal: int, enough: asyncio.Event) -> None:
        queue = self._queue(writer)
        for slot in range(1_000):
            key = f"{queue}/log/{slot:020}"
            with_body = slot % 5 == 4
            try:
                if with_body:
                    await self._write_body(store, f"{queue}/body/{slot}")
                if await store.put_new(key, [content_of(key)]) is Put.CREATED:
                    self.books.acknowledged.append(key)
            except StoreUnavailable:
                return
            if len(self.books.acknowledged) >= goal:
                enough.set()

    async def _write_body(self, store: PosixStore, key: str) -> None:
        body = store.put_body(key)
        content = content_of(key)
        for begin in range(0, len(content), 5_000):
            await body.write([content[begin : begin + 5_000]])
        await body.commit()
        self.books.acknowledged.append(key)

    async def _look(self, acknowledged: list[str], places: list[str]) -> None:
        store = PosixStore(str(self._disk.path / "store"), SystemRandomness())
        for key in acknowledged:
            try:
                if await store.get_range(key, 0, WHOLE) != content_of(key):
                    self.books.torn.append(key)
            except NotFound:
                self.books.lost.append(key)
        for place in places:
            async for page in store.list_after(place + "/", ""):
                for key in page:
                    if await store.get_range(key, 0, WHOLE) != content_of(key):
                        self.books.torn.append(key)
        await store.close()


@pytest.fixture
def power_loss(tmp_path: Path) -> Iterator[Callable[[Disk], PowerLoss]]:
    with lossy_mount(tmp_path / "lossy", SEED) as disk:
        yield lambda calls: PowerLoss(disk, calls, SEED)


@on_a_loop
async def test_power_loss_takes_nothing_that_was_acknowledged(
    power_loss: Callable[[Disk], PowerLoss], campaign: Campaign
) -> None:
    storm = power_loss(Disk())
    for _ in range(campaign(20, 200)):
        await storm.strike()
        assert not storm.books.lost
        assert not storm.books.torn
    await storm.look_at_everything()
    assert storm.books.lost == []
    assert storm.books.torn == []
    assert len(storm.books.acknowledged) >= campaign(100, 1_000)


@pytest.mark.parametrize("calls", [WithoutSyncOfFile(), WithoutSyncOfDirectory()], ids=lambda c: type(c).__name__)
@on_a_loop
async def test_without_one_of_the_syncs_power_loss_is_seen_to_take_something(
    power_loss: Callable[[Disk], PowerLoss], calls: Disk
) -> None:
    storm = power_loss(calls)
    for _ in range(ROUNDS_TO_FIND_A_LOSS):
        await storm.strike()
        if storm.books.lost or storm.books.torn:
            return
    pytest.fail(f"{len(storm.books.acknowledged)} puts over {ROUNDS_TO_FIND_A_LOSS} power losses, and none was hurt")
