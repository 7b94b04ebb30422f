"""A process in reserve: it becomes what it is told, once; nobody ever waits for one that is not there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator

import pytest
from tests.e2e.processes import is_alive

from nightmail.supervisor import spare as module
from nightmail.supervisor.launching import Launched, exit_of, launch
from nightmail.supervisor.spare import Spare

# Says what it was told, and where its listeners listen.
PROGRAM = """
import json, socket, sys
from nightmail.supervisor.spare import wait_to_become
control = socket.socket(fileno=int(sys.argv[2]))
told = wait_to_become(control)
if told is None:
    sys.exit(7)
words, listeners = told
ports = [socket.socket(fileno=fd).getsockname()[1] for fd in listeners]
control.sendall(json.dumps([words, ports]).encode())
"""


def launch_program() -> Launched:
    return launch([sys.executable, "-c", PROGRAM], [])


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    yield made
    for listener in made:
        listener.close()


@pytest.fixture(autouse=True)
def _without_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REST_S", 0.01)
    monkeypatch.setattr(module, "_REST_AFTER_FAULT_S", 0.02)


class Reserve:
    """A spare that is kept while the block runs, and every process that was started for it."""

    def __init__(self) -> None:
        self.started: list[Launched] = []
        self.faults = 0
        self._news = asyncio.Event()
        self.spare = Spare(self._launch)

    def _launch(self) -> Launched:
        if self.faults:
            self.faults -= 1
            raise OSError("too many open files")
        self.started.append(launch_program())
        self._news.set()
        return self.started[-1]

    async def __aenter__(self) -> Reserve:
        self._keeping = asyncio.get_running_loop().create_task(self.spare.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._keeping.cancel()
        await asyncio.wait([self._keeping])
        assert self._keeping.cancelled()

    async def have(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.started) < count:
                self._news.clear()
                await self._news.wait()


async def answer_of(launched: Launched) -> object:
    launched.control.setblocking(False)
    data = b""
    async with asyncio.timeout(10):
        while more := await asyncio.get_running_loop().sock_recv(launched.control, 4096):
            data += more
        assert await exit_of(launched) == 0
    launched.control.close()
    return json.loads(data)


def test_it_becomes_what_it_is_told_with_the_listeners_it_is_given(listeners: list[socket.socket]) -> None:
    async def run() -> None:
        async with Reserve() as reserve:
            await reserve.have(1)
            became = reserve.spare.become(["switch", "--switch", "3"], listeners)
            assert became is reserve.started[0]
            ports = [listener.getsockname()[1] for listener in listeners]
            assert await answer_of(became) == [["switch", "--switch", "3"], ports]

    asyncio.run(run())


def test_one_that_was_taken_is_replaced(listeners: list[socket.socket]) -> None:
    async def run() -> None:
        async with Reserve() as reserve:
            assert reserve.spare.become(["a"], []) is None
            await reserve.have(1)
            first = reserve.spare.become(["a"], [])
            assert first is not None
            assert reserve.spare.become(["b"], []) is None
            await reserve.have(2)
            second = reserve.spare.become(["b"], [])
            assert second is reserve.started[1]
            assert (await answer_of(first), await answer_of(second)) == ([["a"], []], [["b"], []])

    asyncio.run(run())


def test_one_that_died_is_replaced() -> None:
    async def run() -> None:
        async with Reserve() as reserve:
            await reserve.have(1)
            os.kill(reserve.started[0].process.pid, signal.SIGKILL)
            await reserve.have(2)
            assert reserve.started[0].process.returncode == -signal.SIGKILL

    asyncio.run(run())


def test_one_that_died_unseen_becomes_nothing() -> None:
    async def run() -> None:
        async with Reserve() as reserve:
            await reserve.have(1)
            dead = reserve.started[0].process
            dead.kill()
            os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - the loop is not to see it
            assert reserve.spare.become(["a"], []) is None
            await reserve.have(2)

    asyncio.run(run())


def test_where_none_can_be_started_it_is_tried_again() -> None:
    async def run() -> None:
        reserve = Reserve()
        reserve.faults = 2
        async with reserve:
            await reserve.have(1)

    asyncio.run(run())


def test_more_listeners_than_can_be_passed_on_are_none_of_its_business(listeners: list[socket.socket]) -> None:
    async def run() -> None:
        async with Reserve() as reserve:
            await reserve.have(1)
            assert reserve.spare.become(["a"], listeners * 126) is None
            became = reserve.spare.become(["a"], listeners)
            assert became is not None
            await answer_of(became)

    asyncio.run(run())


def test_it_ends_with_whoever_keeps_it() -> None:
    async def run() -> Reserve:
        async with Reserve() as reserve:
            await reserve.have(1)
        return reserve

    [launched] = asyncio.run(run()).started
    assert not is_alive(launched.process.pid)


def test_it_leaves_once_nobody_can_tell_it_anything() -> None:
    launched = launch_program()
    launched.control.close()
    assert launched.process.wait(10) == 7
    os.close(launched.pidfd)
