"""J9: who is fenced stops at once and touches the queue no more; a switch that is well goes on taking mail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from sim.loop import run, until
from sim.store import SimulatedStore
from tests.ablations.cluster_stories import a_put_is_on_its_way_while_its_queue_is_adopted_and_closed
from tests.ablations.scenes import Scene

from nightmail.errors import Fenced
from nightmail.journal import writer
from nightmail.journal.ownership import put_slot
from nightmail.store.protocol import Buffer, Store


async def cut_off_and_back() -> tuple[Scene, str]:
    """A switch is cut off from the store with a message deferred; another adopts and delivers it; the first is back."""
    scene = Scene()
    store = SimulatedStore(scene.archive)
    first = await scene.life(1, store)
    first.sink.answers |= {"r0@example.net": "deferred", "r1@example.net": "deferred"}
    first.submit("KEPT", recipients=2)
    client = first.submit("M1")
    await until(lambda: bool(client.answer) and not first.switch.queues[0].rounds)
    store.cut(hang=True)
    second = await scene.life(2)
    second.sink.answers["r1@example.net"] = "deferred"
    await until(lambda: scene.ledger.delivered["M1", 0] == 1, within_s=2_000, step_s=0.1)
    await asyncio.sleep(5)
    first.sink.answers.clear()
    store.restore()
    await asyncio.sleep(400)
    answer = first.submit("M2")
    await asyncio.sleep(1)
    await first.crash()
    await second.crash()
    return scene, answer.answer


def test_who_was_deposed_delivers_nothing_more_and_takes_mail_in_its_next_generation() -> None:
    async def story() -> None:
        scene, answer = await cut_off_and_back()
        await scene.finish()
        findings = await scene.findings()
        assert not findings.doubled
        assert not findings.lost
        assert answer == "250"
        assert scene.ledger.delivered["M1", 0] == 1
        assert any("mx1.0.3/log/" in key for key in scene.archive.contents)

    run(story())


async def swallow(store: Store, key: str, data: Sequence[Buffer]) -> None:
    """Put a segment, and mind nobody else's."""
    try:
        await put_slot(store, key, data)
    except Fenced:
        return


def test_who_goes_on_though_fenced_delivers_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "put_slot", swallow)

    async def story() -> None:
        scene, _ = await cut_off_and_back()
        assert ("M1", 0) in (await scene.findings()).doubled

    run(story())


def test_in_a_cluster_who_goes_on_though_fenced_writes_and_delivers_beside_the_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "put_slot", swallow)
    findings = run(a_put_is_on_its_way_while_its_queue_is_adopted_and_closed())
    assert findings.lost
    assert findings.rivals
    assert findings.stale
