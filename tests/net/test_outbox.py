"""Writes of one turn of the loop go out together, in order, and whatever becomes of one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sim.loop import in_virtual_time

from nightmail.net.outbox import Outbox


class Noted:
    """Notes that it was asked; may do something then."""

    def __init__(self, name: str, asked: list[str], then: Callable[[], None] | None = None) -> None:
        self.name = name
        self.asked = asked
        self.then = then

    def write_out(self) -> None:
        self.asked.append(self.name)
        if self.then is not None:
            self.then()


@in_virtual_time
async def test_who_was_added_is_asked_at_the_end_of_the_turn_in_order() -> None:
    outbox, asked = Outbox(), list[str]()
    asyncio.get_running_loop().call_soon(asked.append, "what the turn had still to do")
    outbox.add(Noted("first", asked))
    outbox.add(Noted("second", asked))
    assert asked == [], "not before its end"
    await asyncio.sleep(0)
    assert asked == ["what the turn had still to do", "first", "second"]


@in_virtual_time
async def test_an_outbox_serves_every_turn_anew() -> None:
    outbox, asked = Outbox(), list[str]()
    for number in range(3):
        outbox.add(Noted(str(number), asked))
        await asyncio.sleep(0)
    assert asked == ["0", "1", "2"]


@in_virtual_time
async def test_who_is_added_by_another_is_asked_in_the_same_breath() -> None:
    outbox, asked = Outbox(), list[str]()
    outbox.add(Noted("first", asked, then=lambda: outbox.add(Noted("by the first", asked))))
    await asyncio.sleep(0)
    assert asked == ["first", "by the first"]


def test_one_that_fails_keeps_nobody_from_being_asked() -> None:
    faults: list[object] = []
    asked: list[str] = []

    def fail() -> None:
        raise RuntimeError("a fault of this one")

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))
        outbox = Outbox()
        outbox.add(Noted("broken", asked, then=fail))
        outbox.add(Noted("next", asked))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(story())
    assert asked == ["broken", "next"]
    assert [str(fault) for fault in faults] == ["a fault of this one"], "and it is not passed over in silence"


@pytest.mark.parametrize("count", [1, 50])
def test_the_writes_of_a_turn_arrive_whole(count: int) -> None:
    async def story() -> bytes:
        taken: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            taken.set_result(await reader.readexactly(count))
            writer.close()

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        outbox = Outbox()
        for _ in range(count):
            outbox.add(Noted("", [], then=lambda: writer.transport.write(b"x")))
        found = await asyncio.wait_for(taken, 10)
        writer.close()
        server.close()
        return found

    assert asyncio.run(story()) == count * b"x"
