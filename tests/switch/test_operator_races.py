"""What an operator asks for while an attempt or a report is on its way: said once, done once, and not undone."""

from __future__ import annotations

import asyncio

import pytest
from sim.life import Life
from sim.loop import in_virtual_time, until
from tests.switch.scene import Stage, newest, to

from nightmail.journal.reading import replay
from nightmail.journal.state import LiveMessage
from nightmail.mail.reply import Reply
from nightmail.switch.operations import Operations

RETURNED = Reply(550, "5.0.0", "returned")


async def deferred(stage: Stage) -> tuple[Life, LiveMessage]:
    """A life with one message that was deferred, and that would be delivered next time."""
    life = await stage.life()
    life.sink.answers["r@example.net"] = "deferred"
    life.submit("M1", envelope=to("r@example.net"))
    await until(lambda: len(newest(life).waiting) == 1)
    life.sink.answers.clear()
    return life, newest(life).journal.state.messages["M1"]


@pytest.mark.parametrize(("action", "reports"), [("hold", 0), ("bounce", 1), ("delete", 0)])
def test_what_an_operator_ends_while_its_claim_waits_behind_a_put_is_not_delivered(action: str, reports: int) -> None:
    @in_virtual_time
    async def story() -> None:
        stage = Stage()
        life, message = await deferred(stage)
        operations = Operations(lambda: life.switch.queues, life.parts.clock, lambda: None)
        held = stage.store.hold_next("put_new")
        life.submit("M0", envelope=to("z@example.net"))
        await held.reached()
        newest(life).waiting.wait(message, 0.0)
        await asyncio.sleep(0.5)  # its Claimed waits now
        acting = asyncio.ensure_future(operations.queue_act({"action": action, "selection": {"ids": ["M1"]}}))
        await asyncio.sleep(0.5)
        held.answer()
        assert await acting == {"count": 1}
        await asyncio.sleep(5)
        assert ("M1", 0) not in stage.ledger.delivered
        assert len(stage.reports()) == reports
        await life.stop()

    story()


@pytest.mark.parametrize("operator_is_first", [True, False])
def test_a_sender_is_told_once_of_a_recipient_that_fails_while_an_operator_returns_the_message(
    operator_is_first: bool,
) -> None:
    @in_virtual_time
    async def story() -> None:
        stage = Stage()
        life = await stage.life()
        life.sink.answers["r@example.net"] = "failed"
        life.sink.holds = True
        life.submit("M1", envelope=to("r@example.net"))
        await until(lambda: len(life.sink.held) == 1)
        queue = newest(life)
        message = queue.journal.state.messages["M1"]
        record = await queue.fetcher.record(message)
        life.sink.holds = False
        held = stage.store.hold_next("put_new")
        if operator_is_first:
            queue.bounce(message, record, RETURNED)
            await held.reached()
            life.sink.transmit(life.sink.held[0])
        else:
            life.sink.transmit(life.sink.held[0])
            await held.reached()
            queue.bounce(message, record, RETURNED)
        await asyncio.sleep(0.1)
        held.answer()
        await until(lambda: life.is_idle)
        assert len(stage.reports()) == 1
        await life.stop()

    story()


@in_virtual_time
async def test_a_claim_that_lands_while_the_switch_stops_is_withdrawn_where_its_body_would_have_to_be_read() -> None:
    stage = Stage()
    life = await stage.life()
    life.switch._allowance.take = lambda size_bytes: False  # type: ignore[method-assign]
    await asyncio.sleep(1)
    held = stage.store.hold_next("put_new")
    life.submit("M1", envelope=to("r@example.net"))
    await held.reached()
    stopping = asyncio.ensure_future(life.switch.stop())
    await asyncio.sleep(2)
    held.answer()
    await stopping
    found = await replay(stage.store, "mx1.0.1")
    assert found.state.is_yielded
    assert found.state.messages["M1"].claimed == (), "nobody used it, and nothing of it is ambiguous"
    assert life.sink.jobs == []
