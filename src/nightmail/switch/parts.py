"""What the parts of a switch share, handed to each of them by its constructor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from nightmail.delivery.job import Transport
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


class Routing:
    """The routing in force: whoever asks takes the snapshot of this instant and keeps no other."""

    def __init__(self, snapshot: RoutingSnapshot) -> None:
        self.snapshot = snapshot


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


@dataclass(frozen=True, slots=True)
class Parts:
    """The shared parts. `fresh_limit_bytes` bounds the bodies kept in memory between acceptance and delivery."""

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
