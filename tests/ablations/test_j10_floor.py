"""J10: replay ignores what lies below the floor; the floor is never above a live message; nothing is deleted early."""

from __future__ import annotations

import asyncio

import pytest
from sim.checkers import NOTHING, Findings
from sim.loop import in_virtual_time, run, until
from sim.store import SimulatedStore
from tests.ablations.cluster_stories import a_message_waits_while_others_come_and_go
from tests.ablations.scenes import QUEUE, Scene, calm

from nightmail.journal import compaction
from nightmail.journal.compaction import Compactor
from nightmail.journal.fetching import Fetcher
from nightmail.journal.keys import slot_key
from nightmail.journal.reading import Replayed, list_slots, read_segment, replay
from nightmail.journal.state import QueueState
from nightmail.queue.settings import QueueSettings
from nightmail.store.protocol import Store
from nightmail.switch import generations


async def a_put_lands_twice() -> Findings:
    """A put that was repeated lands a second time, long after its slot was deleted; no claim was in it."""
    scene = Scene()
    store = SimulatedStore(scene.archive)
    life = await scene.life(1, store, queue_settings=QueueSettings(destination_connections=1))
    life.sink.holds = True
    life.submit("M0")
    await until(lambda: bool(life.sink.held))
    held = store.hold_next("put_new")
    client = life.submit("M1")
    await held.reached()
    held.lose()
    life.sink.holds = False
    life.sink.transmit(life.sink.held[0])
    await until(lambda: client.answer == "250" and life.is_idle)
    slot = held.key
    await until(lambda: slot not in scene.archive.contents, within_s=1_000, step_s=0.1)
    held.land()
    if slot not in scene.archive.contents:
        raise RuntimeError("the put did not land again")
    await life.crash()
    await scene.finish()
    return await scene.findings()


def test_what_lands_below_the_floor_is_ignored() -> None:
    assert run(a_put_lands_twice()) == NOTHING


def test_reading_below_the_floor_brings_a_delivered_message_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def replay_everything(store: Store, queue: str) -> Replayed:
        found = await replay(store, queue)
        state = QueueState()
        for slot in await list_slots(store, queue):
            segment = await read_segment(store, queue, slot)
            state.apply(segment.header, segment.records)
        return found._replace(state=state)

    monkeypatch.setattr(generations, "replay", replay_everything)
    assert run(a_put_lands_twice()).doubled == {("M1", 0)}


async def messages_wait_while_the_log_goes_on() -> Findings:
    """A message waits; others come and go; then the process is replaced."""
    scene = Scene()
    writer = scene.writer()
    await writer.open()
    for message_id in ("WAITS", "M1", "M2"):
        writer.letter(message_id)
        await calm()
    await writer.deliver("M1")
    await asyncio.sleep(30)
    if writer.journal is not None:
        writer.journal.abandon()
    await scene.finish()
    return await scene.findings()


def test_a_floor_stays_below_the_oldest_message_that_waits() -> None:
    assert run(messages_wait_while_the_log_goes_on()) == NOTHING


def test_a_floor_that_is_too_high_loses_what_waits_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QueueState, "floor", lambda self, tail: tail)
    assert run(messages_wait_while_the_log_goes_on()).lost == {("WAITS", 0), ("M2", 0)}


async def somebody_reads_slowly() -> Replayed:
    """A log is cut while somebody reads it, who began half a minute ago."""
    scene = Scene()
    owner = scene.writer()
    journal = await owner.open()
    compactor = Compactor(owner.store, owner.clock, journal, Fetcher(owner.store, QUEUE, journal.state), [])
    working = asyncio.ensure_future(compactor.run())
    for number in range(5):
        owner.letter(f"M{number}")
        await calm()
    reader = SimulatedStore(scene.archive)
    held = reader.hold_next("get_range", slot_key(QUEUE, 3))
    reading = asyncio.ensure_future(replay(reader, QUEUE))
    await held.reached()
    for number in range(5):
        await owner.deliver(f"M{number}")
    await asyncio.sleep(30)
    held.answer()
    found = await reading
    working.cancel()
    return found


def test_a_slow_reader_finds_every_slot_that_it_began_to_read() -> None:
    assert run(somebody_reads_slowly()).damage == []


def test_deleting_at_once_takes_slots_away_from_under_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "KEEP_BELOW_FLOOR_S", 0.0)
    assert run(somebody_reads_slowly()).damage


@in_virtual_time
async def test_nothing_is_deleted_before_the_segment_that_names_the_floor_is_known() -> None:
    scene = Scene()
    owner = scene.writer()
    journal = await owner.open()
    compactor = Compactor(owner.store, owner.clock, journal, Fetcher(owner.store, QUEUE, journal.state), [])
    working = asyncio.ensure_future(compactor.run())
    owner.letter("M1")
    await calm()
    await owner.deliver("M1")
    owner.store.cut(hang=True)
    await asyncio.sleep(500)
    assert slot_key(QUEUE, 1) in scene.archive.contents
    assert compactor._condemned == compactor._condemned.__class__()
    working.cancel()
    journal.abandon()


def test_in_a_cluster_a_partner_finds_what_waits() -> None:
    assert run(a_message_waits_while_others_come_and_go()) == NOTHING


def test_in_a_cluster_a_floor_that_is_too_high_hides_it_from_the_partner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QueueState, "floor", lambda self, tail: tail)
    assert run(a_message_waits_while_others_come_and_go()).lost == {("M1", 0)}
