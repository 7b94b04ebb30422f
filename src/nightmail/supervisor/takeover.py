"""Taking over what a dead server left: secondary switches are started, asked to adopt, and stopped when they are done.

A secondary switch is a process of its own beside the primary ones. There is one for each server whose queues are run
here, from the moment at which one of them seems abandoned until the last of them is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from nightmail.group.heartbeat import Heartbeat
from nightmail.journal.keys import QueueName
from nightmail.net.control import RequestFailed, SwitchSilent
from nightmail.supervisor.child import SwitchChild
from nightmail.supervisor.pulse import Pulse

_START_TIMEOUT_S = 30.0
_ADOPT_TIMEOUT_S = 300.0
_LINGER_S = 30.0

log = structlog.get_logger()


class Takeover:
    """The hands of the group: satisfies `group.driver.Hands`.

    `children` are all switches of this server, `primaries` of them primary; secondary ones are appended to them and
    removed again. `secondary_for` makes the place of a secondary switch from its number and the server it is for.
    """

    def __init__(
        self,
        server: str,
        children: list[SwitchChild],
        pulse: Pulse,
        *,
        secondary_for: Callable[[int, str], SwitchChild],
        spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]],
        patience_s: float,
    ) -> None:
        self._server = server
        self._children = children
        self._primaries = len(children)
        self._pulse = pulse
        self._secondary_for = secondary_for
        self._spawn = spawn
        self._patience_s = patience_s
        self._secondaries: dict[str, SwitchChild] = {}
        self._runs: dict[str, asyncio.Task[int]] = {}
        self._wanted_at: dict[str, float] = {}
        self._adopted: set[str] = set()
        self.is_stopping = False

    def pulse(self) -> Heartbeat:
        """What this server says of itself."""
        return self._pulse.heartbeat()

    def running(self) -> frozenset[str]:
        """The queues that are run here, those adopted a moment ago included."""
        told = {queue.id for _, queue in self._pulse.queues()}
        self._adopted -= told
        return frozenset(told | self._adopted)

    def prepare(self, queue: str, server: str) -> None:
        """Have the switch that is to adopt `queue` read it; a secondary one is started for it."""
        if not self.is_stopping:
            self._spawn(self._prepare(queue, server))

    def forget(self, queue: str, server: str) -> None:
        """Have what was read of `queue` let go."""
        if server == self._server or server in self._secondaries:
            child = self._child_for(queue, server)
            if child is not None:
                self._spawn(self._forget(child, queue))

    async def adopt(self, queue: str, server: str, tail: int) -> bool:
        """Have `queue` adopted by the slot after `tail`; whether it is run here now."""
        child = None if self.is_stopping else self._child_for(queue, server)
        if child is None:
            return False
        try:
            await asyncio.wait_for(child.serving.wait(), _START_TIMEOUT_S)
            is_ours = await child.request("adopt", {"queue": queue, "tail": tail}, _ADOPT_TIMEOUT_S)
        except (SwitchSilent, RequestFailed, TimeoutError) as error:
            log.warning("queue not adopted", queue=queue, switch=child.name, reason=str(error) or "it did not start",
                        remedy="it is tried again once the queue stood still once more")  # fmt: skip
            return False
        if is_ours:
            self._adopted.add(queue)
            await self._pulse.ask(child)
        return bool(is_ours)

    async def run(self) -> None:
        """Stop secondary switches that have nothing left to run, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0)
            busy = {child.number for child, _ in self._pulse.queues()}
            for server, child in list(self._secondaries.items()):
                if child.number in busy or child.state == "starting":
                    self._wanted_at[server] = loop.time()
                elif loop.time() - self._wanted_at[server] > _LINGER_S:
                    await self._end(server)

    async def _prepare(self, queue: str, server: str) -> None:
        child = self._child_for(queue, server)
        if child is None:
            return
        try:
            await asyncio.wait_for(child.serving.wait(), _START_TIMEOUT_S)
            await child.request("prepare", {"queue": queue})
        except (SwitchSilent, RequestFailed, TimeoutError) as error:
            log.warning("queue not prepared", queue=queue, switch=child.name, reason=str(error) or "it did not start")

    async def _forget(self, child: SwitchChild, queue: str) -> None:
        with contextlib.suppress(SwitchSilent, RequestFailed):  # then it is gone, and what it read with it
            await child.request("forget", {"queue": queue})

    def _child_for(self, queue: str, server: str) -> SwitchChild | None:
        """Queues of our own are for the switch of their number, another server's for the secondary one."""
        if server == self._server:
            name = QueueName.parse(queue)
            return self._children[name.switch % self._primaries] if name is not None else None
        child = self._secondaries.get(server)
        return child if child is not None else self._start(server)

    def _start(self, server: str) -> SwitchChild:
        taken = {child.number for child in self._children}
        number = next(number for number in itertools.count(self._primaries) if number not in taken)
        child = self._secondaries[server] = self._secondary_for(number, server)
        self._children.append(child)
        self._wanted_at[server] = asyncio.get_running_loop().time()
        self._runs[server] = self._spawn(child.run())
        log.warning("secondary switch started", server=server, switch=child.name,
                    remedy="it delivers what that server left; see to that server")  # fmt: skip
        return child

    async def _end(self, server: str) -> None:
        child = self._secondaries.pop(server)
        await child.stop(self._patience_s)
        await self._runs.pop(server)
        self._children.remove(child)
        log.info("secondary switch stopped", server=server, switch=child.name)
