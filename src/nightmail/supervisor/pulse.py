"""What the supervisor knows of its switches at any moment, asked of them several times in a lease."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from nightmail.group.heartbeat import Heartbeat, QueuePulse, SwitchPulse
from nightmail.net.control import RequestFailed, SwitchSilent
from nightmail.net.control_messages import QueueStatus, SwitchStatus
from nightmail.supervisor.child import SwitchChild
from nightmail.world import Clock

_SHARES_OF_LEASE = 6
_SLOWEST_S = 0.5


class Pulse:
    """Asks each switch how it is; `children` may change at any time, the primary ones come first.

    A switch is *silent* that serves and has not answered for half a lease. `state` is the server's: serving, draining
    or stopping.
    """

    def __init__(self, server: str, children: Sequence[SwitchChild], clock: Clock, lease_s: float, config: str) -> None:
        self.state = "serving"
        self._server = server
        self._children = children
        self._clock = clock
        self._silent_after_s = lease_s / 2
        self._every_s = min(lease_s / _SHARES_OF_LEASE, _SLOWEST_S)
        self.config = config
        self._answers: dict[int, SwitchStatus] = {}
        self._answered_at: dict[int, float] = {}
        self._known: dict[int, tuple[int, float]] = {}

    async def run(self) -> None:
        """Ask until cancelled; one that does not answer keeps nobody from asking the others."""
        asking: dict[int, asyncio.Task[None]] = {}
        try:
            while True:
                for child in self._children:
                    before = asking.get(child.number)
                    if before is None or before.done():
                        asking[child.number] = asyncio.get_running_loop().create_task(self.ask(child))
                await asyncio.sleep(self._every_s)
        finally:
            for task in asking.values():
                task.cancel()

    async def ask(self, child: SwitchChild) -> None:
        """Ask one switch now."""
        if child.state not in ("serving", "stopping"):
            self._answers.pop(child.number, None)
            return
        pid, asked_at = child.pid, self._clock.elapsed()
        try:
            answer = await child.request("status", timeout_s=self._silent_after_s)
        except (SwitchSilent, RequestFailed):
            return
        self._answers[child.number] = msgspec.convert(answer, SwitchStatus)
        self._answered_at[child.number] = self._clock.elapsed()
        self._known[child.number] = (pid, asked_at)

    def knows(self, child: SwitchChild, pid: int, since: float) -> bool:
        """Whether a switch told its state after `since`, or its process is gone, and with it what it ran."""
        told_by, asked_at = self._known.get(child.number, (0, 0.0))
        return child.pid != pid or child.state != "serving" or (told_by == pid and asked_at >= since)

    def sharers(self, child: SwitchChild) -> int:
        """Among how many a switch last told that it shares the server's limits, 0 where it told nothing yet."""
        answer = self._answers.get(child.number)
        return answer.among if answer is not None else 0

    def queues(self) -> list[tuple[SwitchChild, QueueStatus]]:
        """The queues that are run here, as last told, each with the switch that runs it."""
        return [
            (child, queue)
            for child in self._children
            if (answer := self._answers.get(child.number)) is not None
            for queue in answer.queues
            if queue.owner == self._server
        ]

    def heartbeat(self) -> Heartbeat:
        """What is told to the other servers; who sends it fills in the rest."""
        queues = self.queues()
        return Heartbeat(
            server=self._server, incarnation="", sequence=0, echo_incarnation="", echo_sequence=0,
            state=self.state, config=self.config,
            switches=tuple(
                SwitchPulse(child.number, self._is_silent(child), self._is_cut_off(child)) for child in self._children
            ),
            queue_count=len(queues),
            messages=sum(queue.messages for _, queue in queues),
            queues=tuple(
                QueuePulse(queue.id, child.number, queue.epoch, queue.slot, queue.messages) for child, queue in queues
            ),
        )  # fmt: skip

    def _is_cut_off(self, child: SwitchChild) -> bool:
        answer = self._answers.get(child.number)
        return answer is not None and answer.is_cut_off

    def _is_silent(self, child: SwitchChild) -> bool:
        if child.state != "serving":
            return child.state in ("restarting", "stopped")
        answered_at = self._answered_at.get(child.number)
        return answered_at is not None and self._clock.elapsed() - answered_at > self._silent_after_s
