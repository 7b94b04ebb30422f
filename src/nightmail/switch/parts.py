"""What the parts of a switch share, handed to each of them by its constructor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Protocol, TypeVar

from nightmail.delivery.job import Transport
from nightmail.errors import NotKnownYet
from nightmail.mail.message_id import MessageIds
from nightmail.queue.backoff import Backoff
from nightmail.queue.destinations import Destinations
from nightmail.queue.settings import QueueSettings
from nightmail.routing.snapshot import RoutingSnapshot
from nightmail.store.protocol import Store
from nightmail.store.settings import StoreSettings
from nightmail.world import Clock, Randomness

if TYPE_CHECKING:
    from nightmail.switch.attempts import Attempt
    from nightmail.switch.health import DestinationHealth

_Answer = TypeVar("_Answer")


class Lookups(Protocol):
    """Where a snapshot's missing answers come from."""

    def look_up(self, keys: Collection[str], found: Callable[[], None]) -> None:
        """Have `found` called once all of the keys are known, or could not be found out."""
        ...

    def standing(self) -> dict[str, str]:
        """Each of those who are asked: ok, or why it can't be."""
        ...

    async def run(self) -> None:
        """Keep what lookups need; runs until cancelled."""
        ...


class Routing:
    """The routing in force: whoever asks takes the snapshot of this instant and keeps no other.

    A snapshot that is held whole misses nothing, and needs no `lookups`.
    """

    def __init__(self, snapshot: RoutingSnapshot, lookups: Lookups | None = None) -> None:
        self.snapshot = snapshot
        self.lookups = lookups

    def look_up(self, keys: Collection[str], found: Callable[[], None]) -> None:
        """Have what a snapshot missed looked up; `found` is called when it is worth asking again."""
        if self.lookups is None:
            raise RuntimeError(f"{len(keys)} keys are missing, and there is nothing to look them up in")
        self.lookups.look_up(keys, found)

    async def ask(self, question: Callable[[RoutingSnapshot], _Answer]) -> _Answer:
        """What the question answers, asked again for as long as something has to be looked up for it."""
        while True:
            try:
                return question(self.snapshot)
            except NotKnownYet as missing:
                await self._known(missing.keys)

    def standing(self) -> dict[str, str]:
        """Each of those where addresses are looked up: ok, or why it can't be asked."""
        return self.lookups.standing() if self.lookups is not None else {}

    async def run(self) -> None:
        """Keep what lookups need; runs until cancelled."""
        if self.lookups is not None:
            await self.lookups.run()

    async def _known(self, keys: Collection[str]) -> None:
        known = asyncio.Event()
        self.look_up(keys, known.set)
        await known.wait()


@dataclass(slots=True)
class Counters:
    """What a switch has done since it started."""

    accepted: int = 0
    refused: int = 0
    voided: int = 0
    unanswered: int = 0
    delivered: int = 0
    deferred: int = 0
    failed: int = 0
    ambiguous: int = 0
    reports: int = 0
    segments: int = 0
    slow_puts: int = 0

    def as_dict(self) -> dict[str, float]:
        """The counters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(slots=True, eq=False)
class Parts:
    """The shared parts. `fresh_limit_bytes` bounds the bodies kept in memory between acceptance and delivery.

    They stay the same ones, and go by other settings when they are told to.
    """

    hostname: str
    store: Store
    clock: Clock
    randomness: Randomness
    ids: MessageIds
    store_settings: StoreSettings
    queue_settings: QueueSettings
    destinations: Destinations[Attempt]
    backoff: Backoff
    health: DestinationHealth
    transports: Mapping[str, Transport]
    routing: Routing
    counters: Counters = field(default_factory=Counters)
    fresh_limit_bytes: int = 64 << 20

    def go_by(self, settings: QueueSettings) -> None:
        """Have mail be attempted by other settings from now on; what waits for an hour that was set waits for it."""
        self.queue_settings = settings
        self.backoff.go_by(settings)
        self.destinations.go_by(settings)
