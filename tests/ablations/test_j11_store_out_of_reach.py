"""J11: without the store there is no 250 and no new delivery; with it there is full service again, by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from sim.checkers import NOTHING, Findings
from sim.life import Life, ObservedSwitch
from sim.loop import run
from sim.store import SimulatedStore
from tests.ablations.cluster_stories import mail_comes_while_the_store_is_out_of_reach
from tests.ablations.scenes import Scene

from nightmail.errors import StoreUnavailable
from nightmail.journal import writer
from nightmail.store.protocol import Buffer, Store


class Outage:
    """What was seen during an outage and after it."""

    def __init__(self) -> None:
        self.during: list[str] = []
        self.after = ""
        self.deliveries_during = 0
        self.findings = NOTHING


async def the_store_goes_and_comes(*, hang: bool) -> Outage:
    """The store is out of reach for five minutes while mail arrives."""
    scene, seen = Scene(), Outage()
    store = SimulatedStore(scene.archive)
    life = await scene.life(1, store)
    life.submit("BEFORE")
    await asyncio.sleep(1)
    store.cut(hang=hang)
    clients = []
    delivered = scene.ledger.delivered.total()
    for number in range(30):
        clients.append(life.submit(f"M{number}"))
        await asyncio.sleep(10)
    seen.during = [client.answer for client in clients]
    seen.deliveries_during = scene.ledger.delivered.total() - delivered
    store.restore()
    await asyncio.sleep(5)
    after = life.submit("AFTER")
    await asyncio.sleep(5)
    seen.after = after.answer
    await life.crash()
    await scene.finish()
    seen.findings = await scene.findings()
    return seen


@pytest.mark.parametrize("hang", [False, True])
def test_mail_is_put_off_and_taken_again_and_nothing_is_lost(*, hang: bool) -> None:
    seen = run(the_store_goes_and_comes(hang=hang))
    assert "250" not in seen.during
    assert "451" in seen.during
    assert seen.deliveries_during == 0
    assert seen.after == "250"
    assert seen.findings == NOTHING


async def hope(store: Store, key: str, data: Sequence[Buffer]) -> None:
    """Put a segment, and take it to be there whatever the store says."""
    try:
        await store.put_new(key, data)
    except StoreUnavailable:
        return


def test_250_without_the_store_loses_what_was_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "put_slot", hope)

    async def story() -> Findings:
        scene = Scene()
        store = SimulatedStore(scene.archive)
        life = await scene.life(1, store)
        life.sink.holds = True
        store.cut()
        life.submit("M1")
        await asyncio.sleep(1)
        await life.crash()
        return await scene.findings()

    assert run(story()).lost == {("M1", 0)}


async def the_store_is_away_at_the_start(switch_class: type[ObservedSwitch]) -> str:
    """The switch starts before its store; how a message is answered a while after the store is there."""
    scene = Scene()
    store = SimulatedStore(scene.archive)
    store.cut()
    life = Life(store, scene.ledger, switch_class=switch_class)
    starting = asyncio.ensure_future(life.start())
    await asyncio.sleep(100)
    store.restore()
    await asyncio.sleep(10)
    client = life.submit("M1")
    await asyncio.sleep(10)
    starting.cancel()
    life.switch.failure = None
    await life.crash()
    return client.answer


class TriesOnce(ObservedSwitch):
    """Opens its queue once, and dies of a store that is not there."""

    async def _open_newest(self) -> None:
        owned = await self._adopter.open_generation("mx1", 0)
        self._newest = self._run(owned)
        self.is_ready.set()


def test_a_switch_that_starts_before_its_store_serves_once_it_is_there() -> None:
    assert run(the_store_is_away_at_the_start(ObservedSwitch)) == "250"


def test_a_switch_that_tries_once_never_serves() -> None:
    assert run(the_store_is_away_at_the_start(TriesOnce)) == "451"


def test_in_a_cluster_nothing_is_acknowledged_without_the_store() -> None:
    assert run(mail_comes_while_the_store_is_out_of_reach()) == NOTHING


def test_in_a_cluster_what_is_acknowledged_all_the_same_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "put_slot", hope)
    assert run(mail_comes_while_the_store_is_out_of_reach()).lost == {("M1", 0), ("M2", 0), ("M3", 0)}
