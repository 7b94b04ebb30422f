"""The control channel: two ends on a real socket pair, and the frames by themselves."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.errors import ProtocolViolation, StoreUnavailable
from nightmail.net.control import (
    FRAME_MAX_BYTES,
    ControlClient,
    ControlServer,
    Frames,
    RequestFailed,
    SwitchSilent,
    frame,
)


async def joined(server: ControlServer, client: ControlClient) -> None:
    one, other = socket.socketpair()
    await server.attach(one)
    await client.attach(other)


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers(0, 9)), max_size=6), st.data())
def test_any_split_of_the_input_gives_the_same_messages(messages: list[dict[str, int]], data: st.DataObject) -> None:
    wire = b"".join(frame(message) for message in messages)
    frames, received, rest = Frames(), [], wire
    while rest:
        cut = data.draw(st.integers(1, len(rest)))
        received += frames.receive(rest[:cut])
        rest = rest[cut:]
    assert received == messages


@pytest.mark.parametrize("wire", [(FRAME_MAX_BYTES + 1).to_bytes(4, "big"), b"\0\0\0\1\xc1", b"\0\0\0\1\x07"])
def test_what_is_no_message_is_refused(wire: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        Frames().receive(wire)


def test_a_message_too_large_is_not_sent() -> None:
    with pytest.raises(ProtocolViolation):
        frame({"body": b"x" * FRAME_MAX_BYTES})


def test_answers_find_their_requests_in_whatever_order_they_come() -> None:
    async def run() -> None:
        gate = asyncio.Event()

        async def slow(params: dict[str, object]) -> object:
            await gate.wait()
            return params["n"]

        async def quick(params: dict[str, object]) -> object:
            gate.set()
            return params["n"]

        server, client = ControlServer({"slow": slow, "quick": quick}), ControlClient()
        await joined(server, client)
        answers = await asyncio.gather(client.request("slow", {"n": 1}), client.request("quick", {"n": 2}))
        assert list(answers) == [1, 2]
        client.close()

    asyncio.run(run())


def test_a_fault_of_the_switch_is_told() -> None:
    async def broken(_: dict[str, object]) -> object:
        raise StoreUnavailable("the store is away")

    async def run() -> None:
        server, client = ControlServer({"broken": broken}), ControlClient()
        await joined(server, client)
        with pytest.raises(RequestFailed, match="the store is away"):
            await client.request("broken")
        with pytest.raises(RequestFailed, match="no method 'unknown'"):
            await client.request("unknown")
        client.close()

    asyncio.run(run())


def test_an_answer_too_large_is_an_error_not_a_broken_channel() -> None:
    async def huge(_: dict[str, object]) -> object:
        return b"x" * FRAME_MAX_BYTES

    async def run() -> None:
        server, client = ControlServer({"huge": huge}), ControlClient()
        await joined(server, client)
        with pytest.raises(RequestFailed, match="bytes"):
            await client.request("huge")
        client.close()

    asyncio.run(run())


def test_a_switch_that_does_not_answer_is_silent() -> None:
    async def never(_: dict[str, object]) -> object:
        return await asyncio.get_running_loop().create_future()

    async def run() -> None:
        server, client = ControlServer({"never": never}), ControlClient()
        await joined(server, client)
        with pytest.raises(SwitchSilent):
            await client.request("never", timeout_s=0.01)
        server.close()
        with pytest.raises(SwitchSilent, match="gone"):
            await client.request("never", timeout_s=10)
        client.close()

    asyncio.run(run())


def test_both_ends_learn_that_the_other_is_gone() -> None:
    async def run() -> None:
        lost = asyncio.Queue[str]()
        server = ControlServer({}, on_lost=lambda: lost.put_nowait("supervisor"))
        client = ControlClient(on_lost=lambda: lost.put_nowait("switch"))
        await joined(server, client)
        client.close()
        assert {await lost.get(), await lost.get()} == {"supervisor", "switch"}

    asyncio.run(run())


def test_notices_arrive_without_being_asked_for() -> None:
    async def run() -> None:
        notices = asyncio.Queue[dict[str, object]]()
        server, client = ControlServer({}), ControlClient(on_notice=notices.put_nowait)
        await joined(server, client)
        server.notify("fenced", queue="mx1.0.1")
        assert await notices.get() == {"notice": "fenced", "queue": "mx1.0.1"}
        client.close()

    asyncio.run(run())
