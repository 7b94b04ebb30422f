"""What local programs left is taken up once, however the store and the routing stand; nobody's file is in the way."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sim.life import BUSY, REFUSED, Life
from tests.eventloop import on_a_loop
from tests.switch.scene import QUICK, Stage, newest
from tests.switch.service import until_soon

from nightmail.mail.envelope import NOTIFY_NEVER, Recipient
from nightmail.mail.reply import Reply
from nightmail.routing.snapshot import Accepted
from nightmail.store.protocol import Buffer, Put, StoreFull
from nightmail.submission import DropDirectory, Submission
from nightmail.switch import pickup
from nightmail.switch.pickup import Pickup
from nightmail.world import SystemClock, SystemRandomness

BODY = b"Subject: hello\r\n\r\nhow are you?\r\n"
CLOCK = SystemClock()
RANDOMNESS = SystemRandomness()


@pytest.fixture
def drops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DropDirectory:
    monkeypatch.setattr(pickup, "_LOOK_S", 0.01)
    monkeypatch.setattr(pickup, "_RETRY_S", 0.05)
    directory = DropDirectory(str(tmp_path / "drop"))
    directory.prepare(os.getuid(), os.getgid())
    return directory


def left(drops: DropDirectory, *recipients: Recipient, sender: str = "s@example.org") -> str:
    return drops.store(Submission(sender=sender, recipients=recipients), [BODY], CLOCK, RANDOMNESS)


@asynccontextmanager
async def picking_up(stage: Stage, drops: DropDirectory) -> AsyncIterator[tuple[Life, Pickup]]:
    life = Life(stage.store, stage.ledger, queue_settings=QUICK)
    pickup = Pickup(life.switch, drops)
    life.switch.remove_drop = pickup.remove
    await life.start()
    working = asyncio.ensure_future(pickup.run())
    try:
        yield life, pickup
    finally:
        working.cancel()
        await life.crash()


def answering(life: Life, answers: dict[str, Reply | Accepted], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life.routes, "accept", lambda address, *, may_relay: answers.get(address, Accepted((address,))))


@on_a_loop
async def test_a_temporary_refusal_is_waited_for(drops: DropDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    async with picking_up(stage, drops) as (life, _):
        answers: dict[str, Reply | Accepted] = {"r@example.net": BUSY}
        answering(life, answers, monkeypatch)
        name = left(drops, Recipient("r@example.net"))
        left(drops, Recipient("other@example.net"))
        await until_soon(lambda: len(life.sink.jobs) == 1)
        assert drops.waiting() == [name]
        assert stage.reports() == []
        answers.clear()
        await until_soon(lambda: len(life.sink.jobs) == 2 and drops.waiting() == [])


@on_a_loop
async def test_files_that_nobody_is_to_be_told_of_go_and_do_not_stand_before_others(
    drops: DropDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickup, "_AT_ONCE", 2)
    stage = Stage()
    async with picking_up(stage, drops) as (life, _):
        answering(life, {"no@example.net": REFUSED, "later@example.net": BUSY}, monkeypatch)
        stuck = [left(drops, Recipient("later@example.net")) for _ in range(3)]
        left(drops, Recipient("no@example.net"), sender="")
        left(drops, Recipient("no@example.net", notify=NOTIFY_NEVER))
        left(drops, Recipient("r@example.net"))
        await until_soon(lambda: drops.waiting() == stuck and len(life.sink.jobs) == 1)
        assert stage.reports() == []


@on_a_loop
async def test_who_is_refused_is_told_before_the_others_are_sent_to(
    drops: DropDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage()
    async with picking_up(stage, drops) as (life, _):
        many = Accepted(tuple(f"r{number}@example.net" for number in range(10_001)))
        answering(life, {"no@example.net": REFUSED, "many@example.net": many}, monkeypatch)
        left(drops, Recipient("no@example.net"), Recipient("many@example.net"), Recipient("r@example.net"))
        await until_soon(lambda: drops.waiting() == [] and len(life.sink.jobs) == 2)
        (report,) = stage.reports()
        assert b"no@example.net" in (text := stage.report_text(report).encode())
        assert b"5.5.3" in text


@on_a_loop
async def test_a_file_left_unanswered_is_taken_up_again_unless_its_put_ends_well(drops: DropDirectory) -> None:
    async with picking_up(Stage(), drops) as (_, pickup_):
        sender = pickup._Left(pickup_, "name")
        sender.left_unanswered()
        assert pickup_._taken["name"] < float("inf")
        sender.accepted("M1")
        assert pickup_._taken["name"] == float("inf")


@on_a_loop
async def test_a_report_and_the_message_that_is_left_are_kept_together_or_not_at_all(
    drops: DropDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pickup.put_off, "__defaults__", (0.1,))
    stage = Stage()
    async with picking_up(stage, drops) as (life, _):
        put = type(stage.store).put_new
        room = [100_000]
        tried: list[int] = []

        async def put_while_there_is_room(store: object, key: str, data: Sequence[Buffer]) -> Put:
            size_bytes = sum(map(len, data))
            if size_bytes > room[0]:
                tried.append(size_bytes)
                raise StoreFull("no room")
            return await put(stage.store, key, data)

        monkeypatch.setattr(type(stage.store), "put_new", put_while_there_is_room)
        answering(life, {"no@example.net": REFUSED}, monkeypatch)
        recipients = (Recipient("no@example.net"), Recipient("r@example.net"))
        submission = Submission(sender="s@example.org", recipients=recipients)
        drops.store(submission, [b"Subject: x\r\n\r\n", (70 * b"y" + b"\r\n") * 3000], CLOCK, RANDOMNESS)
        await until_soon(lambda: len(tried) >= 3)
        assert stage.reports() == [], "however often it was tried"
        room[0] = 10_000_000
        await until_soon(lambda: len(life.sink.jobs) > 0 and drops.waiting() == [])
        assert len(stage.reports()) == 1


@on_a_loop
async def test_a_large_body_that_nobody_is_to_have_is_not_kept(
    drops: DropDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage()
    async with picking_up(stage, drops) as (life, _):
        answering(life, {"no@example.net": REFUSED}, monkeypatch)
        submission = Submission(sender="s@example.org", recipients=(Recipient("no@example.net"),))
        drops.store(submission, [b"Subject: x\r\n\r\n", (70 * b"y" + b"\r\n") * 30000], CLOCK, RANDOMNESS)
        await until_soon(lambda: drops.waiting() == [])
        state = newest(life).journal.state
        bodies = [key async for page in stage.store.list_after(f"queues/{newest(life).name}/body/", "") for key in page]
        assert [key.rpartition("/")[2] for key in bodies] == state.finished_aside, "it goes with the next that go"
