"""A process in reserve: it becomes what it is told, once; nobody ever waits for one that is not there."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import wraps

import pytest
import uvloop
from tests.e2e.processes import is_alive
from tests.e2e.waiting import PATIENCE_S

from nightmail.net.control import Frames, Message
from nightmail.supervisor import child as child_module
from nightmail.supervisor import spare as spare_module
from nightmail.supervisor.child import SwitchChild
from nightmail.supervisor.launching import TOLD, Launched, exit_of, launch_command
from nightmail.supervisor.spare import Spare
from nightmail.world import SystemClock

# Says what it was told, and where its listeners listen; is a switch that serves and stops until then.
PROGRAM = """
import socket, sys
from nightmail.net.control import frame
from nightmail.supervisor.spare import wait_to_become
control = socket.socket(fileno=int(sys.argv[2]))
told = wait_to_become(control)
if told is None:
    sys.exit(7)
words, listeners = told
ports = [socket.socket(fileno=fd).getsockname()[1] for fd in listeners]
control.sendall(frame({"notice": "ready", "words": words, "ports": ports}))
control.recv(1)
"""


def launch_program() -> Launched:
    return launch_command([sys.executable, "-c", PROGRAM], [])


def on_the_servers_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @wraps(test)
    def run(**fixtures: object) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(test(**fixtures))  # type: ignore[arg-type]

    return run


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    yield made
    for listener in made:
        listener.close()


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare_module, "_REST_AFTER_FAULT_S", 0.02)


class Reserve:
    """A spare that is kept while the block runs, and every process that was started for it."""

    def __init__(self, faults: int = 0) -> None:
        self.started: list[Launched] = []
        self.spare = Spare(self._launch, rest_s=0.01)
        self._faults = faults
        self._news = asyncio.Event()

    def _launch(self) -> Launched:
        if self._faults:
            self._faults -= 1
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
        """Wait until so many processes were started."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.started) < count:
                self._news.clear()
                await self._news.wait()


async def answer_of(launched: Launched | None) -> tuple[object, object]:
    """The words and the ports that a process was told; then it ends."""
    assert launched is not None
    launched.control.setblocking(False)
    frames = Frames()
    said: list[Message] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(said) < 2:
            said += frames.receive(await asyncio.get_running_loop().sock_recv(launched.control, 4096))
        launched.control.close()
        assert await exit_of(launched.process, launched.pidfd) == 0
    assert said[0] == {"notice": TOLD}
    return said[1]["words"], said[1]["ports"]


@on_the_servers_loop
async def test_it_becomes_what_it_is_told_with_the_listeners_it_is_given(listeners: list[socket.socket]) -> None:
    async with Reserve() as reserve:
        await reserve.have(1)
        became = reserve.spare.become(["switch", "--switch", "3"], listeners)
        assert became is not None
        assert became.process is reserve.started[0].process
        ports = [listener.getsockname()[1] for listener in listeners]
        assert await answer_of(became) == (["switch", "--switch", "3"], ports)


@on_the_servers_loop
async def test_one_that_was_taken_is_replaced() -> None:
    async with Reserve() as reserve:
        assert reserve.spare.become(["a"], []) is None
        await reserve.have(1)
        first = reserve.spare.become(["a"], [])
        assert reserve.spare.become(["b"], []) is None
        await reserve.have(2)
        second = reserve.spare.become(["b"], [])
        assert (await answer_of(first), await answer_of(second)) == ((["a"], []), (["b"], []))


@on_the_servers_loop
async def test_one_that_died_is_replaced() -> None:
    async with Reserve() as reserve:
        await reserve.have(1)
        os.kill(reserve.started[0].process.pid, signal.SIGKILL)
        await reserve.have(2)
        assert reserve.started[0].process.returncode == -signal.SIGKILL


@on_the_servers_loop
async def test_one_that_died_unseen_becomes_nothing() -> None:
    async with Reserve() as reserve:
        await reserve.have(1)
        dead = reserve.started[0].process
        dead.kill()
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - the loop is not to see it
        assert reserve.spare.become(["a"], []) is None
        await reserve.have(2)


@on_the_servers_loop
async def test_where_none_can_be_started_it_is_tried_again() -> None:
    async with Reserve(faults=2) as reserve:
        await reserve.have(1)


@on_the_servers_loop
async def test_more_listeners_than_can_be_passed_on_are_none_of_its_business(listeners: list[socket.socket]) -> None:
    async with Reserve() as reserve:
        await reserve.have(1)
        assert reserve.spare.become(["a"], listeners * 126) is None
        await answer_of(reserve.spare.become(["a"], listeners))


@on_the_servers_loop
async def test_it_ends_with_whoever_keeps_it_and_becomes_nothing_then() -> None:
    async with Reserve() as reserve:
        await reserve.have(1)
    assert not is_alive(reserve.started[0].process.pid)
    assert reserve.spare.become(["a"], []) is None


def test_it_leaves_once_nobody_can_tell_it_anything() -> None:
    launched = launch_program()
    launched.control.close()
    assert launched.process.wait(10) == 7
    os.close(launched.pidfd)


@on_the_servers_loop
async def test_one_that_hangs_is_not_the_switch_that_everybody_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "_TOLD_S", 0.2)
    monkeypatch.setattr(spare_module, "_LOADED_S", 0.0)
    async with Reserve() as reserve:

        def launch(number: int, listeners: object) -> Launched:
            spare = reserve.spare.become(["a"], []) if not hung_pids else None
            hung_pids.append(spare.process.pid if spare else 0)
            return spare or launch_command([sys.executable, "-c", SERVES], [])

        hung_pids: list[int] = []
        await reserve.have(1)
        hung = reserve.started[0].process
        os.kill(hung.pid, signal.SIGSTOP)
        child = SwitchChild(0, launch, [], SystemClock())
        running = asyncio.get_running_loop().create_task(child.run())
        async with asyncio.timeout(PATIENCE_S):
            await child.serving.wait()
        assert hung_pids == [hung.pid, 0]
        assert (hung.returncode, child.restarts) == (-signal.SIGKILL, 1)
        child.end("the test is over")
        assert await running == 0


SERVES = """
import socket, sys
from nightmail.net.control import frame
control = socket.socket(fileno=int(sys.argv[2]))
control.sendall(frame({"notice": "ready"}))
control.recv(1)
control.recv(1)
"""
