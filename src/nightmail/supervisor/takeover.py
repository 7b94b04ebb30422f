"""Taking over what a dead server left: secondary switches are started, asked to adopt, and stopped when they are done.

A secondary switch is a process of its own beside the primary ones. There is one for each server whose queues are run
here, from the moment at which one of them seems abandoned until the last of them is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable

import structlog

from nightmail.group.heartbeat import Heartbeat
from nightmail.journal.keys import QueueName
from nightmail.net.control import RequestFailed, SwitchSilent
from nightmail.supervisor.child import Spawn, SwitchChild
from nightmail.supervisor.pulse import Pulse
from nightmail.world import Clock

_START_TIMEOUT_S = 30.0
_ADOPT_TIMEOUT_S = 86_400.0  # a long log takes long to read; a switch that dies amid it is heard of at once
_LINGER_S = 30.0
_LOOK_S = 0.5

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
        clock: Clock,
        *,
        secondary_for: Callable[[int, str], SwitchChild],
        spawn: Spawn,
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
        self._minded: dict[str, set[str]] = {}
        self._adopting: dict[str, SwitchChild] = {}
        self._adopted: dict[str, tuple[SwitchChild, int, float]] = {}
        self._clock = clock
        self.is_stopping = False

    def pulse(self) -> Heartbeat:
        """What this server says of itself."""
        return self._pulse.heartbeat()

    def running(self) -> frozenset[str]:
        """The queues that are run here, those adopted a moment ago included."""
        told = {queue.id for _, queue in self._pulse.queues()}
        self._adopted = {name: given for name, given in self._adopted.items() if not self._pulse.knows(*given)}
        return frozenset(told.union(self._adopted))

    def prepare(self, queue: str, server: str) -> None:
        """Have the switch that is to adopt `queue` read it; a secondary one is started for it."""
        self._minded.setdefault(server, set()).add(queue)
        self._spawn(self._prepare(queue, server))

    def forget(self, queue: str, server: str) -> None:
        """Have what was read of `queue` let go."""
        self._minded.get(server, set()).discard(queue)
        if server == self._server or server in self._secondaries:
            child = self._child_for(queue, server)
            if child is not None:
                self._spawn(self._ask(child, "forget", {"queue": queue}))

    async def adopt(self, queue: str, server: str, tail: int) -> bool:
        """Have `queue` adopted by the slot after `tail`; whether it is run here now."""
        child = self._child_for(queue, server)
        if child is None:
            return False
        self._minded.setdefault(server, set()).add(queue)
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await child.serving.wait()
            pid = child.pid
            self._adopting[queue] = child
            self._share_out()
            is_ours = await child.request("adopt", {"queue": queue, "tail": tail}, _ADOPT_TIMEOUT_S)
        except (SwitchSilent, RequestFailed, TimeoutError) as error:
            log.warning("queue not adopted", queue=queue, switch=child.name, reason=str(error) or "it did not start",
                        remedy="it is tried again once the queue stood still once more")  # fmt: skip
            return False
        finally:
            self._adopting.pop(queue, None)
            self._minded[server].discard(queue)
            self._wanted_at[server] = self._clock.elapsed()
        if is_ours:
            self._adopted[queue] = (child, pid, self._clock.elapsed())
            await self._pulse.ask(child)
        return bool(is_ours)

    def is_adopted_here(self, queue: str) -> bool:
        """Whether a secondary switch runs it."""
        return any(told.id == queue and child.secondary_for for child, told in self._pulse.queues())

    async def hand_over(self, queue: str) -> bool:
        """Have the secondary switch that runs `queue` give it up; whether one did.

        Raises: SwitchSilent, RequestFailed.
        """
        for child, told in self._pulse.queues():
            if told.id == queue and child.secondary_for:
                return bool(await child.request("hand_over", {"queue": queue}, self._patience_s))
        return False

    async def run(self) -> None:
        """Stop secondary switches that have nothing left to run, and share the limits out, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self._share_out()
            busy = {child.number for child, _ in self._pulse.queues()}
            now = self._clock.elapsed()
            for server, child in list(self._secondaries.items()):
                if child.number in busy or child.state == "starting" or self._minded.get(server):
                    self._wanted_at[server] = now
                elif now - self._wanted_at[server] > _LINGER_S:
                    # Whoever is wanted for that server from now on is another one.
                    self._spawn(self._end(self._secondaries.pop(server), self._runs.pop(server)))

    def _share_out(self) -> None:
        """Have every switch keep to its part of the server's limits: a takeover floods no destination."""
        sharing = self._sharing()
        among = len(sharing)
        for child in sharing:
            if child.state == "serving" and self._pulse.sharers(child) not in (0, among):
                self._spawn(self._ask(child, "share", {"among": among}))

    def _sharing(self) -> list[SwitchChild]:
        """The switches that deliver; a secondary one does so once it adopts, and has its own idea until then."""
        busy = {child.number for child, _ in self._pulse.queues()}
        busy |= {child.number for child in self._adopting.values()}
        busy |= {child.number for child, _, _ in self._adopted.values()}
        return [child for child in self._children if not child.secondary_for or child.number in busy]

    async def _prepare(self, queue: str, server: str) -> None:
        child = self._child_for(queue, server)
        if child is None:
            return
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await child.serving.wait()
            if queue in self._minded[server]:  # else it is run again, and was forgotten meanwhile
                await child.request("prepare", {"queue": queue})
        except (SwitchSilent, RequestFailed, TimeoutError) as error:
            log.warning("queue not prepared", queue=queue, switch=child.name, reason=str(error) or "it did not start")

    async def _ask(self, child: SwitchChild, method: str, params: dict[str, object]) -> None:
        with contextlib.suppress(SwitchSilent, RequestFailed):  # then it is gone, or it is asked again
            await child.request(method, params)

    def _child_for(self, queue: str, server: str) -> SwitchChild | None:
        """Queues of our own are for the switch of their number, another server's for the secondary one.

        None while this server stops: nothing is to be started that nobody would stop.
        """
        if self.is_stopping:
            return None
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
        self._wanted_at[server] = self._clock.elapsed()
        self._runs[server] = self._spawn(child.run())
        log.info("secondary switch started", server=server, switch=child.name)
        return child

    async def _end(self, child: SwitchChild, run: asyncio.Task[int]) -> None:
        await child.stop(self._patience_s)
        _, late = await asyncio.wait([run], timeout=self._patience_s)
        if late:
            child.kill("it did not stop in time")
            await asyncio.wait(late)
        self._children.remove(child)
        log.info("secondary switch stopped", server=child.secondary_for, switch=child.name)
