"""A transport with the sinks it delivers to, for the length of a scene."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import uvloop
from tests.delivery.jobs import RecordedJob
from tests.delivery.sink import Sink

from nightmail.delivery.job import Outcome
from nightmail.delivery.settings import DeliverySettings
from nightmail.delivery.smtp import SmtpTransport
from nightmail.errors import DeliveryFailed
from nightmail.mail.reply import Reply
from nightmail.net.addresses import Target
from nightmail.net.dialing import SocketDialer
from nightmail.routing.route import Route
from nightmail.world import SystemClock

ROUTE = Route(kind="smtp", host="example.net", port=25, by_mx=True, destination="mx:example.net")
LMTP = Route(kind="lmtp", host="example.net", port=24, destination="lmtp:[example.net]:24")
_PATIENCE = ["connect", "greeting", "hello", "envelope", "data_block", "final", "transaction", "quit"]
QUICK: dict[str, Any] = {f"{wait}_timeout_s": 0.4 for wait in _PATIENCE}
TICK_S = 0.01


class ToldHosts:
    """Mail hosts that are what they are told to be."""

    def __init__(self, targets: list[Target] | DeliveryFailed) -> None:
        self.told = targets
        self.asked = 0

    async def of(self, route: Route) -> list[Target]:
        self.asked += 1
        if isinstance(self.told, DeliveryFailed):
            raise self.told
        return self.told


class RecordedHealth:
    """Remembers what was said about destinations."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.opened = 0

    def connect_failed(self, destination: str, reply: Reply) -> None:
        self.failed.append(str(reply))

    def session_opened(self, destination: str) -> None:
        self.opened += 1


class Scene:
    """What a scene has at hand."""

    def __init__(self, transport: SmtpTransport, hosts: ToldHosts, health: RecordedHealth, route: Route) -> None:
        self.transport = transport
        self.hosts = hosts
        self.health = health
        self.route = route

    def send(self, *addresses: Any, **how: Any) -> RecordedJob:
        """Hand over one job."""
        job = RecordedJob(*addresses, **how)
        self.transport.deliver(self.route, job)
        return job


Play = Callable[[Scene], Awaitable[Any]]


def play(
    sinks: Sink | Sequence[Sink],
    scene: Play,
    *,
    route: Route = ROUTE,
    hosts: list[Target] | DeliveryFailed | None = None,
    with_uvloop: bool = True,
    **settings: Any,
) -> Any:
    """Run the scene with a transport to these sinks, the first the most preferred, and close it then."""
    all_sinks = [sinks] if isinstance(sinks, Sink) else list(sinks)

    async def within(rest: list[Sink]) -> Any:
        if rest:
            async with rest[0]:
                return await within(rest[1:])
        targets = [Target(f"mx{n}.example.net", "127.0.0.1", sink.port) for n, sink in enumerate(all_sinks, 1)]
        told, health = ToldHosts(targets if hosts is None else hosts), RecordedHealth()
        chosen = DeliverySettings(**{"close_timeout_s": 0.2, **settings})
        transport = SmtpTransport(
            chosen,
            "mx1.example.org",
            hosts=told,
            dialer=SocketDialer(),
            health=health,
            clock=SystemClock(),
            tick_s=TICK_S,
        )
        try:
            return await asyncio.wait_for(scene(Scene(transport, told, health, route)), 20)
        finally:
            await transport.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if with_uvloop else None) as runner:
        return runner.run(within(all_sinks))


def send_one(sinks: Sink | Sequence[Sink], *addresses: Any, **how: Any) -> list[Any]:
    """Deliver one job and tell its outcomes. Keys of `how` that are settings go to the transport."""
    names = DeliverySettings.__struct_fields__
    settings = {key: how.pop(key) for key in list(how) if key in names or key in ("route", "hosts", "with_uvloop")}

    async def scene(at: Scene) -> Any:
        return await at.send(*addresses, **how).end()

    return play(sinks, scene, **settings)


def told(outcomes: list[Outcome]) -> list[str]:
    return [f"{outcome.kind} {outcome.reply.code} {outcome.reply.enhanced}".strip() for outcome in outcomes]
