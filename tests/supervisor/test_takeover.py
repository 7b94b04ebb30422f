"""The hands of the group: the right switch is asked, secondary ones come and go, and who is silent counts as silent."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, cast

import msgspec
import pytest
from sim.loop import in_virtual_time
from sim.world import VirtualClock

from nightmail.net.control import RequestFailed, SwitchSilent
from nightmail.net.control_messages import QueueStatus, SwitchStatus
from nightmail.supervisor.child import SwitchChild
from nightmail.supervisor.pulse import Pulse
from nightmail.supervisor.takeover import Takeover


class Child:
    """A switch that serves, runs `queues`, and adopts whatever it is asked to unless `refuses`."""

    def __init__(self, number: int, *queues: str, of: str = "") -> None:
        self.number = number
        self.name = f"secondary for {of}" if of else f"switch {number}"
        self.state = "serving"
        self.pid = 100 + number
        self.secondary_for = of
        self.serving = asyncio.Event()
        self.serving.set()
        self.queues = list(queues)
        self.asked: list[tuple[str, str]] = []
        self.refuses = False
        self.among = 2
        self.is_silent = False
        self.is_cut_off = False
        self._over = asyncio.Event()

    async def request(self, method: str, params: Mapping[str, Any] | None = None, timeout_s: float = 5.0) -> Any:
        if self.is_silent:
            await asyncio.sleep(min(timeout_s, 5.0))
            raise SwitchSilent("it did not answer")
        if method == "status":
            queues = tuple(QueueStatus(id=name, owner="mx1", epoch=1, slot=2, messages=3) for name in self.queues)
            told = SwitchStatus(switch=self.number, state="serving", pid=1, queues=queues, among=self.among,
                                is_cut_off=self.is_cut_off)  # fmt: skip
            return msgspec.to_builtins(told)
        if method == "share":
            self.among = (params or {})["among"]
            return None
        queue = (params or {})["queue"]
        self.asked.append((method, queue))
        if self.refuses:
            raise RequestFailed("the store is away")
        if method == "adopt":
            self.queues.append(queue)
            return True
        return None

    async def run(self) -> int:
        await self._over.wait()
        return 0

    async def stop(self, timeout_s: float) -> None:
        self._over.set()


class Server:
    """mx1 with two switches."""

    def __init__(self) -> None:
        self.made: list[Child] = []
        self.children = [Child(0, "mx1.0.1"), Child(1)]
        listed = cast("list[SwitchChild]", self.children)
        self.pulse = Pulse("mx1", listed, VirtualClock(), lease_s=1.0, config="digest")
        self.is_slow_to_start = False
        self.takeover = Takeover(
            "mx1", listed, self.pulse, VirtualClock(), secondary_for=self._secondary, spawn=self._spawn, patience_s=5.0
        )
        self._tasks: list[asyncio.Task[Any]] = []
        self._spawn(self.pulse.run())
        self._spawn(self.takeover.run())

    def _secondary(self, number: int, server: str) -> SwitchChild:
        child = Child(number, of=server)
        if self.is_slow_to_start:
            child.serving.clear()
        self.made.append(child)
        return cast("SwitchChild", child)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        return task

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@in_virtual_time
async def test_another_servers_queues_are_for_a_secondary_switch_of_its_own() -> None:
    server = Server()
    server.takeover.prepare("mx2.0.1", "mx2")
    server.takeover.prepare("mx2.1.1", "mx2")
    server.takeover.prepare("mx3.0.1", "mx3")
    await asyncio.sleep(1)
    assert [(child.name, child.number) for child in server.made] == [("secondary for mx2", 2), ("secondary for mx3", 3)]
    assert server.made[0].asked == [("prepare", "mx2.0.1"), ("prepare", "mx2.1.1")]
    assert await server.takeover.adopt("mx2.0.1", "mx2", 7)
    assert server.takeover.running() == {"mx1.0.1", "mx2.0.1"}
    await server.end()


@in_virtual_time
async def test_our_own_queues_are_for_the_switch_of_their_number() -> None:
    server = Server()
    assert await server.takeover.adopt("mx1.1.1", "mx1", 7)
    assert await server.takeover.adopt("mx1.4.1", "mx1", 7)  # of a switch that is no more
    assert server.children[1].asked == [("adopt", "mx1.1.1")]
    assert server.children[0].asked == [("adopt", "mx1.4.1")]
    assert not server.made
    await server.end()


@in_virtual_time
async def test_a_secondary_switch_with_nothing_left_to_run_is_stopped_and_its_number_used_again() -> None:
    server = Server()
    await server.takeover.adopt("mx2.0.1", "mx2", 7)
    await asyncio.sleep(100)
    assert len(server.children) == 3
    server.made[0].queues.clear()
    await asyncio.sleep(60)
    assert len(server.children) == 2
    await server.takeover.adopt("mx2.0.2", "mx2", 7)
    assert server.made[1].number == 2
    await server.end()


@pytest.mark.parametrize("fault", ["refuses", "is_silent"])
def test_an_adoption_that_fails_is_none(fault: str) -> None:
    @in_virtual_time
    async def story() -> None:
        server = Server()
        setattr(server.children[0], fault, True)
        assert not await server.takeover.adopt("mx1.0.9", "mx1", 7)
        server.takeover.prepare("mx1.0.9", "mx1")
        server.takeover.forget("mx1.0.9", "mx1")
        server.takeover.forget("mx5.0.9", "mx5")
        await asyncio.sleep(60)
        await server.end()

    story()


@in_virtual_time
async def test_a_server_that_stops_adopts_nothing() -> None:
    server = Server()
    server.takeover.is_stopping = True
    server.takeover.prepare("mx2.0.1", "mx2")
    assert not await server.takeover.adopt("mx2.0.1", "mx2", 7)
    await asyncio.sleep(1)
    assert not server.made
    await server.end()


@in_virtual_time
async def test_the_pulse_tells_of_every_switch_and_queue() -> None:
    server = Server()
    await asyncio.sleep(1)
    beat = server.takeover.pulse()
    assert (beat.server, beat.state, beat.config, beat.queue_count, beat.messages) == ("mx1", "serving", "digest", 1, 3)
    assert [(queue.name, queue.switch) for queue in beat.queues] == [("mx1.0.1", 0)]
    assert [switch.is_silent for switch in beat.switches] == [False, False]
    await server.end()


@in_virtual_time
async def test_a_switch_that_has_not_answered_for_half_a_lease_is_silent_and_so_is_one_that_died() -> None:
    server = Server()
    await asyncio.sleep(1)
    server.children[0].is_silent = True
    server.children[1].state = "restarting"
    await asyncio.sleep(0.9)
    assert [switch.is_silent for switch in server.takeover.pulse().switches] == [True, True]
    await server.end()


@in_virtual_time
async def test_a_switch_whose_puts_do_not_get_through_says_so() -> None:
    server = Server()
    server.children[1].is_cut_off = True
    await asyncio.sleep(0.9)
    assert [switch.is_cut_off for switch in server.takeover.pulse().switches] == [False, True]
    server.children[1].is_cut_off = False
    await asyncio.sleep(0.9)
    assert [switch.is_cut_off for switch in server.takeover.pulse().switches] == [False, False]
    await server.end()


@in_virtual_time
async def test_a_secondary_switch_that_reads_a_long_log_is_not_stopped_meanwhile() -> None:
    server = Server()
    server.takeover.prepare("mx2.0.1", "mx2")
    await asyncio.sleep(300)
    assert len(server.children) == 3
    server.takeover.forget("mx2.0.1", "mx2")
    await asyncio.sleep(60)
    assert len(server.children) == 2
    await server.end()


@in_virtual_time
async def test_a_queue_whose_switch_died_before_it_told_of_it_does_not_count_as_run() -> None:
    server = Server()
    await server.takeover.adopt("mx2.0.1", "mx2", 7)
    child = server.made[0]
    child.queues.clear()
    child.pid += 1
    await asyncio.sleep(1)
    assert server.takeover.running() == {"mx1.0.1"}
    await server.end()


@in_virtual_time
async def test_a_switch_that_hangs_makes_no_other_one_silent() -> None:
    server = Server()
    server.children[0].is_silent = True
    for _ in range(100):
        await asyncio.sleep(0.1)
        assert not server.takeover.pulse().switches[1].is_silent
    await server.end()


@in_virtual_time
async def test_the_limits_are_shared_out_anew_when_switches_come_and_go() -> None:
    server = Server()
    await server.takeover.adopt("mx2.0.1", "mx2", 7)
    await asyncio.sleep(2)
    assert [child.among for child in server.children] == [3, 3, 3]
    server.made[0].queues.clear()
    await asyncio.sleep(60)
    assert [child.among for child in server.children] == [2, 2]
    await server.end()


@in_virtual_time
async def test_a_secondary_switch_has_no_part_of_the_limits_until_it_adopts() -> None:
    server = Server()
    server.takeover.prepare("mx2.0.1", "mx2")
    await asyncio.sleep(2)
    assert [child.among for child in server.children[:2]] == [2, 2]
    adopting = asyncio.create_task(server.takeover.adopt("mx2.0.1", "mx2", 7))
    await asyncio.sleep(0.01)
    assert [child.among for child in server.children] == [3, 3, 3]
    assert await adopting
    await server.end()


@in_virtual_time
async def test_what_is_forgotten_while_its_switch_starts_is_not_read() -> None:
    server = Server()
    server.is_slow_to_start = True
    server.takeover.prepare("mx2.0.1", "mx2")
    server.takeover.prepare("mx2.1.1", "mx2")
    await asyncio.sleep(0.02)
    server.takeover.forget("mx2.0.1", "mx2")
    server.made[0].serving.set()
    await asyncio.sleep(1)
    assert [asked for asked in server.made[0].asked if asked[0] == "prepare"] == [("prepare", "mx2.1.1")]
    await server.end()
