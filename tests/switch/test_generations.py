"""A server's older queues are found, adopted no sooner than is safe, drained and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from sim.checkers import NOTHING, Archive
from sim.loop import in_virtual_time, until
from sim.store import SimulatedStore
from structlog.testing import capture_logs
from tests.journal.rig import adopted, lay, slots_of
from tests.switch.scene import Stage, soon

from nightmail.errors import StoreUnavailable
from nightmail.journal.keys import QueueName
from nightmail.journal.reading import replay
from nightmail.journal.records import Adopted, Closed, Tick, Yielded
from nightmail.switch.generations import Assignment


@in_virtual_time
async def test_a_yielded_queue_is_adopted_at_once_drained_and_closed() -> None:
    stage = Stage()
    first = await stage.life()
    first.sink.answers["r0@example.net"] = "deferred"
    first.submit("M1")
    await asyncio.sleep(1)
    await first.stop()
    second = await stage.life()
    began = second.clock.elapsed()
    await until(lambda: any(queue.name == "mx1.0.1" for queue in second.switch.queues))
    assert second.clock.elapsed() - began < 0.1
    await soon(lambda: second.switch.generations.is_complete and len(second.switch.queues) == 1)
    assert stage.ledger.delivered["M1", 0] == 1
    assert (await replay(stage.store, "mx1.0.1")).state.is_closed
    assert await stage.findings() == NOTHING
    await second.stop()


@in_virtual_time
async def test_an_owner_that_may_live_is_given_the_whole_of_its_promise() -> None:
    stage = Stage()
    first = await stage.life()
    first.submit("M1")
    await asyncio.sleep(0.2)
    await asyncio.sleep(20)
    await first.crash()
    promise_s = (await replay(stage.store, "mx1.0.1")).promise_s
    second = await stage.life()
    began = second.clock.elapsed()
    await until(lambda: len(second.switch.queues) == 2, step_s=0.01)
    assert promise_s == 10.0
    assert promise_s < second.clock.elapsed() - began < promise_s * 1.2
    await second.crash()


@in_virtual_time
async def test_a_queue_that_moves_is_left_alone() -> None:
    stage = Stage()
    first, second = await stage.life(), await stage.life(store=SimulatedStore(stage.archive))
    await asyncio.sleep(500)
    assert [queue.name for queue in first.switch.queues] == ["mx1.0.1"]
    assert [queue.name for queue in second.switch.queues] == ["mx1.0.2"]
    await first.crash()
    await soon(lambda: second.switch.generations.is_complete)
    await second.crash()


@in_virtual_time
async def test_another_servers_queues_are_not_touched() -> None:
    stage = Stage()
    first = await stage.life()
    first.sink.answers["r0@example.net"] = "deferred"
    first.submit("M1")
    await asyncio.sleep(1)
    await first.crash()
    other = await stage.life(server="mx2")
    await asyncio.sleep(500)
    assert [queue.name for queue in other.switch.queues] == ["mx2.0.1"]
    await other.crash()


@in_virtual_time
async def test_of_a_closed_queue_only_what_is_kept_for_good_stays() -> None:
    stage = Stage()
    lay(stage.store, 0, adopted())
    for slot in range(1, 6):
        lay(stage.store, slot, Tick(), floor=slot)
    lay(stage.store, 6, Adopted(2, "mx1", "x", "", "", ""), epoch=2, floor=6)
    lay(stage.store, 7, Closed(), epoch=2, floor=7)
    stage.archive.contents["queues/mx1.0.1/body/LEFT"] = b"left over"
    life = await stage.life()
    await soon(lambda: life.switch.generations.is_complete)
    assert slots_of(stage.store) == [0, 6, 7]
    assert "queues/mx1.0.1/body/LEFT" not in stage.archive.contents
    assert [queue.name for queue in life.switch.queues] == ["mx1.0.2"]
    await life.stop()


class SlowToDelete(SimulatedStore):
    """What is deleted waits for `may_delete`, and fails for as long as `fails`."""

    fails = False

    def __init__(self, archive: Archive) -> None:
        super().__init__(archive)
        self.may_delete = asyncio.Event()

    async def delete(self, keys: Sequence[str]) -> None:
        await self.may_delete.wait()
        if self.fails:
            raise StoreUnavailable("not now")
        await super().delete(keys)


@in_virtual_time
async def test_mail_does_not_wait_for_what_closed_queues_have_left() -> None:
    stage = Stage()
    store = SlowToDelete(stage.archive)
    lay(stage.store, 0, adopted())
    lay(stage.store, 1, Tick())
    lay(stage.store, 2, Closed())
    lay(stage.store, 0, adopted(), queue="mx1.0.2")
    lay(stage.store, 1, Yielded(), queue="mx1.0.2")
    life = await stage.life(store=store)
    await until(lambda: any(queue.name == "mx1.0.2" for queue in life.switch.queues), within_s=1)
    assert slots_of(stage.store) == [0, 1, 2]
    store.fails = True
    store.may_delete.set()
    with capture_logs() as logs:
        await asyncio.sleep(20)
        store.fails = False
        await soon(lambda: slots_of(stage.store) == [0, 2])
    assert [line["queue"] for line in logs if line["event"] == "closed queue not swept"].count("mx1.0.1") == 1
    await life.stop()


@in_virtual_time
async def test_a_switch_whose_queue_was_lost_takes_mail_in_the_next_generation_and_gets_the_old_one_back() -> None:
    stage = Stage()
    life = await stage.life()
    client = life.submit("M1")
    await until(lambda: life.is_idle and client.answer == "250")
    queue = life.switch.queues[0]
    lay(stage.store, queue.journal.next_slot, Adopted(2, "mx9", "x", "", "", ""), epoch=2)
    orphan = life.submit("M2")
    await until(lambda: orphan.answer == "250")
    assert any(queue.name == "mx1.0.2" for queue in life.switch.queues)
    await soon(lambda: life.switch.generations.is_complete and life.is_idle)
    assert stage.ledger.delivered == {("M1", 0): 1, ("M2", 0): 1}
    assert await stage.findings() == NOTHING
    await life.stop()


@in_virtual_time
async def test_who_waits_for_the_next_generation_is_refused_if_the_store_does_not_answer() -> None:
    stage = Stage()
    life = await stage.life()
    lay(stage.store, life.switch.queues[0].journal.next_slot, Adopted(2, "mx9", "x", "", "", ""), epoch=2)
    opening = stage.store.hold_next("put_new", "mx1.0.2")
    orphan = life.submit("M1")
    await opening.reached()
    stage.store.cut()
    opening.lose()
    await asyncio.sleep(4)
    assert orphan.answer == ""
    await asyncio.sleep(2)
    assert orphan.answer == "451"
    stage.store.restore()
    await soon(life.switch.is_ready.is_set)
    assert await stage.findings() == NOTHING
    await life.crash()


class PartlyUnreadable(SimulatedStore):
    """A store on a disk of which a part can't be read."""

    unreadable = ""

    async def get_range(self, key: str, offset: int, size: int) -> bytes:
        if self.unreadable and self.unreadable in key:
            raise StoreUnavailable(f"{key}: Input/output error")
        return await super().get_range(key, offset, size)


@in_virtual_time
async def test_a_queue_that_can_not_be_read_stands_in_no_other_queues_way() -> None:
    stage = Stage()
    store = PartlyUnreadable(stage.archive)
    first = await stage.life()
    first.sink.answers["r0@example.net"] = "deferred"
    first.submit("M1")
    await asyncio.sleep(1)
    await first.stop()
    lay(stage.store, 0, adopted(), queue="mx1.0.2")
    lay(stage.store, 1, Yielded(), queue="mx1.0.2")
    store.unreadable = "mx1.0.1/log"
    with capture_logs() as logs:
        second = await stage.life(store=store)
        await asyncio.sleep(30)
    assert (await replay(stage.store, "mx1.0.2")).state.is_closed
    assert not second.switch.generations.is_complete
    assert [line["queue"] for line in logs if line["event"] == "queue not read"] == ["mx1.0.1"]
    store.unreadable = ""
    await soon(lambda: second.switch.generations.is_complete and second.is_idle)
    assert second.switch.generations.waiting == {}
    assert stage.ledger.delivered["M1", 0] == 1
    await second.stop()


@pytest.mark.parametrize(
    ("switch", "covered"),
    [(0, {"mx1.0.1", "mx1.0.9", "mx1.2.1", "mx1.4.1"}), (1, {"mx1.1.1", "mx1.3.1"})],
)
def test_queues_of_switches_that_are_no_more_are_shared_out(switch: int, covered: set[str]) -> None:
    names = ["mx1.0.1", "mx1.0.9", "mx1.1.1", "mx1.2.1", "mx1.3.1", "mx1.4.1", "mx2.0.1", "mx10.0.1"]
    assignment = Assignment("mx1", switch, 2)
    parsed = [(text, QueueName.parse(text)) for text in names]
    assert {text for text, name in parsed if name is not None and assignment.covers(name)} == covered
