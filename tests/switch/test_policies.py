"""A switch goes by the policies of the routing in force, and shares them out as it does its file's limits."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from sim.life import Life, Routes
from tests.eventloop import on_a_loop
from tests.switch.scene import QUICK, Stage

from nightmail.net.control import ControlClient
from nightmail.queue.policies import with_policies
from nightmail.queue.settings import QueueSettings
from nightmail.smtp.settings import SmtpSettings
from nightmail.switch.liveness import LifeLock
from nightmail.switch.process import SwitchProcess


class Controlled:
    """A switch process as its supervisor reaches it; `policies` are those of the routing that it opens."""

    def __init__(self, life: Life, path: Path, policies: Mapping[str, float]) -> None:
        self.policies = policies
        self.life = life
        life.parts.routing.snapshot = self._open()
        self.process = SwitchProcess(
            life.switch, SmtpSettings(), [], open_routing=self._open, limits_among=self._limits, among=2, drops=None,
            life=LifeLock(str(path / "lives" / "one")),
        )  # fmt: skip
        self.client = ControlClient()

    @property
    def settings(self) -> QueueSettings:
        """By what mail is attempted."""
        return self.life.parts.queue_settings

    async def routing(self) -> str:
        """What its status says of routing."""
        return str((await self.client.request("status"))["routing"])

    def _open(self) -> Routes:
        routes = Routes()
        routes.policies = dict(self.policies)
        return routes

    def _limits(self, among: int, policies: Mapping[str, float]) -> QueueSettings:
        settings = with_policies(QUICK, policies)
        return with_policies(settings, {"total_connections": settings.total_connections // among})


@asynccontextmanager
async def controlled(path: Path, policies: Mapping[str, float]) -> AsyncIterator[Controlled]:
    made = Controlled(Stage().unborn(), path, policies)
    one, other = socket.socketpair()
    running = asyncio.create_task(made.process.run(one, []))
    await made.client.attach(other)
    try:
        yield made
    finally:
        made.client.close()
        await running


@on_a_loop
async def test_policies_are_followed_from_the_start_and_when_they_change_in_the_share_of_a_switch(
    tmp_path: Path,
) -> None:
    async with controlled(tmp_path, {"total_connections": 40}) as switch:
        assert switch.settings.total_connections == 20
        switch.policies = {"total_connections": 60, "retry_first_s": 5}
        await switch.client.request("reload")
        assert (switch.settings.total_connections, switch.settings.retry_first_s) == (30, 5)
        again_at = switch.life.parts.backoff.next_attempt(1, 0, 0)
        assert again_at is not None
        assert 4 < again_at < 6
        await switch.client.request("share", {"among": 3})
        assert (switch.settings.total_connections, switch.settings.retry_first_s) == (20, 5)
        switch.policies = {}
        await switch.client.request("reload")
        assert switch.settings == with_policies(QUICK, {"total_connections": QUICK.total_connections // 3})


@on_a_loop
async def test_destinations_have_the_connections_that_policies_allow(tmp_path: Path) -> None:
    async with controlled(tmp_path, {"total_connections": 4}) as switch:
        destinations = switch.life.parts.destinations
        assert [destinations.reserve(key, 0.0) for key in "abc"] == [True, True, False]
        destinations.release("a")
        destinations.release("b")


@on_a_loop
async def test_policies_that_contradict_the_file_leave_in_force_what_was_and_the_status_says_why(
    tmp_path: Path,
) -> None:
    async with controlled(tmp_path, {"retry_first_s": 20}) as switch:
        before = switch.settings
        switch.policies = {"retry_first_s": 90, "total_connections": 2}
        await switch.client.request("reload")
        assert switch.settings == before
        assert "retry_max_s (60) is less than retry_first_s (90)" in await switch.routing()
        await switch.client.request("share", {"among": 4})
        assert switch.settings.retry_first_s == 20
        switch.policies = {"retry_first_s": 30}
        await switch.client.request("reload")
        assert (switch.settings.retry_first_s, await switch.routing()) == (30, "ok")


@on_a_loop
async def test_a_switch_that_starts_with_such_goes_by_its_file(tmp_path: Path) -> None:
    async with controlled(tmp_path, {"retry_first_s": 90}) as switch:
        assert switch.settings.retry_first_s == QUICK.retry_first_s
        assert "retry_first_s (90)" in await switch.routing()
