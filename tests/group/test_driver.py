"""The driver around the decisions: what it says of its peers."""

from __future__ import annotations

import asyncio
import contextlib

from sim.loop import in_virtual_time
from sim.store import SimulatedStore
from sim.world import SeededRandomness, VirtualClock
from structlog.testing import capture_logs
from tests.journal.rig import lay

from nightmail.group.driver import Group
from nightmail.group.heartbeat import Heartbeat, QueuePulse, SwitchPulse
from nightmail.group.settings import Patience
from nightmail.group.view import Member, View
from nightmail.group.watching import Watcher
from nightmail.journal.records import Adopted


class Nothing:
    """Runs nothing, adopts nothing, and speaks to nobody."""

    def pulse(self) -> Heartbeat:
        return Heartbeat("mx1", "", 0, "", 0, "serving", "")

    def running(self) -> frozenset[str]:
        return frozenset()

    def prepare(self, queue: str, server: str) -> None: ...

    def forget(self, queue: str, server: str) -> None: ...

    async def adopt(self, queue: str, server: str, tail: int) -> bool:
        return False

    def speak(self, beat: Heartbeat) -> None: ...

    def knock(self, peer: str, beat: Heartbeat) -> None: ...


def group_of(store: SimulatedStore) -> Group:
    """mx1, which has mx2 for a partner, and hands that do nothing."""
    nothing = Nothing()
    view = View("mx1", "g", Patience(lease_s=1.0), {name: Member(name, "g") for name in ("mx1", "mx2")})
    watcher = Watcher(store, SeededRandomness(1), "mx1")
    return Group(view, store, watcher, speaker=nothing, hands=nothing, clock=VirtualClock())


@in_virtual_time
async def test_a_peer_that_falls_silent_and_is_heard_again_is_told_of_once_each() -> None:
    group = group_of(SimulatedStore())
    with capture_logs() as logs:
        running = asyncio.create_task(group.run())
        for sequence, pause_s in ((1, 0.2), (2, 5.0), (3, 0.2)):
            group.heard(Heartbeat("mx2", "life", sequence, "", 0, "serving", ""))
            await asyncio.sleep(pause_s)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert [line["event"] for line in logs] == ["peer heard", "peer silent", "peer heard again"]
    assert 0.7 <= logs[1]["heartbeat_age_s"] < 0.8


async def _events_of(silent_switch: bool) -> list[tuple[str, str]]:
    """What is said once a queue of mx2 stands still: its server falls silent, or its switch does and the server not."""
    store = SimulatedStore()
    lay(store, 0, Adopted(1, "mx2", "life-2", "m", "b", "", "g"), queue="mx2.0.1")
    group = group_of(store)
    with capture_logs() as logs:
        running = asyncio.create_task(group.run())
        for sequence in range(60):
            is_silent = silent_switch and sequence >= 20
            if silent_switch or sequence < 20:
                switches = (SwitchPulse(0, is_silent, False),)
                queues = (QueuePulse("mx2.0.1", 0, 1, 0, 1),)
                group.heard(Heartbeat("mx2", "life", sequence, "", 0, "serving", "", switches, 1, 0, queues))
            await asyncio.sleep(0.1)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    return [(line["event"], line["log_level"]) for line in logs if line["event"] != "peer heard"]


@in_virtual_time
async def test_who_is_merely_late_is_no_warning_and_who_is_silent_is_one() -> None:
    assert (await _events_of(silent_switch=False))[:2] == [
        ("queue seems abandoned", "info"),
        ("peer silent", "warning"),
    ]


@in_virtual_time
async def test_a_switch_that_is_silent_while_its_server_is_heard_is_a_warning() -> None:
    assert (await _events_of(silent_switch=True))[0] == ("queue seems abandoned", "warning")
