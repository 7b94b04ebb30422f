"""The process around a switch: its listeners, its control channel, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec
import structlog

from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.net.control import ControlServer
from nightmail.net.control_messages import Metric
from nightmail.net.settings import ListenerSettings
from nightmail.queue.settings import QueueSettings
from nightmail.routing.snapshot import RoutingSnapshot
from nightmail.smtp.settings import SmtpSettings
from nightmail.submission import DropDirectory
from nightmail.switch.liveness import LifeLock
from nightmail.switch.metrics import measure
from nightmail.switch.operations import Operations
from nightmail.switch.pickup import Pickup
from nightmail.switch.reception import Reception, look_at_space
from nightmail.switch.switch import Switch

_OPENING_S = 1.0
_TRANSACTIONS_END_S = 1.0
_SESSIONS_END_S = 5.0
_LAST_WORDS_S = 1.0
_LOOK_S = 0.02
_OLD_ROUTING_S = 5.0

log = structlog.get_logger()


class SwitchProcess:
    """A switch with everything that connects it to the world. `drops` is None where another switch picks up.

    `limits_among` tells one switch's share of the server's limits among so many, with policies in place of some; it
    has that `among` at first, and raises ConfigInvalid where they contradict themselves.
    """

    def __init__(
        self,
        switch: Switch,
        smtp: SmtpSettings,
        listeners: Sequence[ListenerSettings],
        *,
        open_routing: Callable[[], RoutingSnapshot],
        limits_among: Callable[[int, Mapping[str, float]], QueueSettings],
        among: int,
        drops: DropDirectory | None,
        life: LifeLock,
    ) -> None:
        self._switch = switch
        self._receptions = [
            Reception(switch.parts, smtp, listener.service, switch.admission, switch, proxy_from=listener.proxy_from)
            for listener in listeners
        ]
        self._open_routing = open_routing
        self._limits_among = limits_among
        self._among = among
        self._routing_fault = ""
        self._policies: Mapping[str, float] = {}
        self._policies_fault = ""
        self._take_policies()
        self._pickup = Pickup(switch, drops) if drops is not None else None
        self._life = life
        self._stop = asyncio.Event()
        self._control = ControlServer(self._methods(), on_lost=self._stop.set)

    async def run(self, control: socket.socket, listeners: Sequence[socket.socket]) -> None:
        """Take mail from `listeners` until told to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        await self._control.attach(control)
        switch = self._switch
        working = switch.spawn(switch.run())
        switch.spawn(switch.parts.routing.run())
        switch.spawn(look_at_space(switch.parts, switch.admission))
        if self._pickup is not None:
            switch.remove_drop = self._pickup.remove
            switch.spawn(self._pickup.run())
        await self._until_worth_listening()
        servers = []
        for listener, reception in zip(listeners, self._receptions, strict=True):
            protocol = cast("Callable[[], asyncio.Protocol]", reception.session)
            servers.append(await loop.create_server(protocol, sock=listener, backlog=1024))
            switch.spawn(reception.look_after_sessions())
        switch.spawn(self._tell_when_ready())
        await self._stop.wait()
        for server in servers:
            server.close()
        await self._end_sessions()
        working.cancel()
        await switch.stop()
        await self._until(lambda: not any(each.parting for each in self._receptions), _LAST_WORDS_S)
        await switch.parts.store.close()

    async def _until_worth_listening(self) -> None:
        """Clients may wait in the backlog while a queue is opened, not for a store out of reach."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_OPENING_S):
                await self._switch.is_ready.wait()

    async def _tell_when_ready(self) -> None:
        await self._switch.is_ready.wait()
        self._control.notify("ready")

    async def _end_sessions(self) -> None:
        """Let the transactions under way end and their messages get their answers, then drop whoever is left."""
        for reception in self._receptions:
            reception.shut_down()
        await self._until(lambda: not self._switch.admission.sessions, _TRANSACTIONS_END_S)
        for reception in self._receptions:
            reception.hurry()
        await self._until(lambda: not self._switch.admission.sessions, _SESSIONS_END_S - _TRANSACTIONS_END_S)
        for reception in self._receptions:
            reception.abort()

    async def _until(self, is_so: Callable[[], bool], timeout_s: float) -> None:
        """Look again and again, within a bound: an event for many sessions that end one by one would need a count."""
        deadline = self._switch.parts.clock.elapsed() + timeout_s
        while not is_so() and self._switch.parts.clock.elapsed() < deadline:  # noqa: ASYNC110  bounded, and often short
            await asyncio.sleep(_LOOK_S)

    def _methods(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        parts = self._switch.parts
        operations = Operations(lambda: self._switch.queues, parts.clock, parts.destinations.forgive)
        return {
            "status": self._status,
            "metrics": self._metrics,
            "reload": self._reload,
            "stop": self._asked_to_stop,
            "prepare": self._prepare,
            "adopt": self._adopt,
            "forget": self._forget,
            "share": self._share,
            "hand_over": self._hand_over,
            "queue_list": operations.queue_list,
            "queue_count": operations.queue_count,
            "queue_show": operations.queue_show,
            "queue_act": operations.queue_act,
        }

    async def _status(self, _: dict[str, Any]) -> object:
        status = self._switch.status()
        return msgspec.structs.replace(
            status, routing=self._routing_fault or self._policies_fault or "ok", among=self._among
        )

    async def _metrics(self, _: dict[str, Any]) -> list[Metric]:
        return measure(self._switch.status())

    async def _reload(self, _: dict[str, Any]) -> None:
        """Swap the routing in one assignment; who began with the old one may finish with it."""
        routing = self._switch.parts.routing
        try:
            fresh = self._open_routing()
        except DirectoryUnavailable as error:
            self._routing_fault = str(error)
            raise
        self._routing_fault = ""
        old, routing.snapshot = routing.snapshot, fresh
        asyncio.get_running_loop().call_later(_OLD_ROUTING_S, old.close)
        self._take_policies()

    def _take_policies(self) -> None:
        """Go by the policies of the routing in force, or where they can't be, by those that were."""
        parts = self._switch.parts
        policies = parts.routing.snapshot.policies
        try:
            settings = self._limits_among(self._among, policies)
        except ConfigInvalid as fault:
            self._policies_fault = str(fault)
            log.warning("policies refused, those in force stay", **fault.in_words())
            return
        self._policies_fault = ""
        if policies != self._policies:
            log.info("policies in force", **policies)
        self._policies = policies
        parts.go_by(settings)

    async def _prepare(self, params: dict[str, Any]) -> None:
        self._switch.adoptions.prepare(params["queue"])

    async def _share(self, params: dict[str, Any]) -> None:
        """The server runs more switches now, or fewer: together they never send more than it may."""
        self._among = params["among"]
        self._switch.parts.go_by(self._limits_among(self._among, self._policies))

    async def _forget(self, params: dict[str, Any]) -> None:
        self._switch.adoptions.forget(params["queue"])

    async def _adopt(self, params: dict[str, Any]) -> bool:
        return await self._switch.adoptions.adopt(params["queue"], params["tail"])

    async def _hand_over(self, params: dict[str, Any]) -> bool:
        return await self._switch.hand_over(params["queue"])

    async def _asked_to_stop(self, _: dict[str, Any]) -> None:
        self._stop.set()
