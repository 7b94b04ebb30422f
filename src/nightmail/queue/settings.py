"""How patiently and how hard mail is attempted: the table `[queue]`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class QueueSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Retries, expiry, reports of delay and the limits of what is sent at once."""

    retry_first_s: Annotated[
        float,
        Meta(gt=0, description="Seconds until the second attempt; doubles with each further one, 10 % more or less."),
    ] = 300.0
    retry_max_s: Annotated[
        float, Meta(gt=0, description="The longest time between two attempts, in seconds, 10 % more or less.")
    ] = 3600.0
    expire_s: Annotated[
        float,
        Meta(gt=0, description="Seconds after arrival at which a message is given up and returned to its sender."),
    ] = 432_000.0
    bounce_expire_s: Annotated[
        float,
        Meta(
            gt=0,
            description="Seconds after which a report that can't be delivered is dropped; at most expire_s counts.",
        ),
    ] = 432_000.0
    delay_report_s: Annotated[
        float,
        Meta(
            ge=0, description="Seconds after arrival at which the sender is told, once, that a message waits; 0: never."
        ),
    ] = 14_400.0
    destination_connections: Annotated[
        int, Meta(ge=1, description="The most deliveries under way to one destination; adopted queues share them.")
    ] = 20
    total_connections: Annotated[int, Meta(ge=1, description="The most deliveries under way in all.")] = 500
    recipients_per_message: Annotated[
        int, Meta(ge=1, description="The most recipients that go to a destination in one transaction.")
    ] = 100
    breaker_failures: Annotated[
        int,
        Meta(
            ge=1, description="Failed connections, greetings and 421 in a row after which a destination is left alone."
        ),
    ] = 5
    breaker_first_s: Annotated[
        float,
        Meta(gt=0, description="Seconds for which it is left alone at first; doubles; at most retry_first_s counts."),
    ] = 30.0
    breaker_max_s: Annotated[
        float,
        Meta(gt=0, description="The longest time for which it is left alone, in seconds; at most retry_max_s counts."),
    ] = 600.0
    handover_wait_s: Annotated[
        float,
        Meta(
            ge=0,
            description="How long, in seconds, a queue that is given up is kept for answers that are due; "
            "at most half of stop_timeout_s counts.",
        ),
    ] = 5.0

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.retry_max_s < self.retry_first_s:
            first, longest = f"retry_first_s ({self.retry_first_s:g})", f"retry_max_s ({self.retry_max_s:g})"
            raise ValueError(f"{longest} is less than {first}; make it at least that")
