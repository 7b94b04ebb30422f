"""What the operator may say about the store."""

from __future__ import annotations

from typing import Annotated

import msgspec

from nightmail.errors import ConfigInvalid


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the journals live, and how long a segment entitles its writer to deliver."""

    url: Annotated[
        str,
        msgspec.Meta(description="The store that every server of the group reaches: file:///DIRECTORY.", min_length=1),
    ]
    lease_s: Annotated[
        float,
        msgspec.Meta(
            description="How long one segment entitles its writer to deliver while a delivery is in flight or due.",
            ge=0.1,
            le=60,
        ),
    ] = 3.0
    idle_tick_s: Annotated[
        float,
        msgspec.Meta(
            description="How long an idle journal may stand still before its owner writes another slot.", ge=1, le=600
        ),
    ] = 10.0
    margin_fraction: Annotated[
        float,
        msgspec.Meta(
            description="The part of a promise that is left unused, for clocks that do not run alike.", gt=0, le=0.5
        ),
    ] = 0.1
    commit_wait_s: Annotated[
        float,
        msgspec.Meta(
            description="How long a message waits behind a put that hangs before its client is told 451.",
            gt=0,
            le=300,
        ),
    ] = 5.0
    answer_timeout_s: Annotated[
        float,
        msgspec.Meta(
            description="How long a message whose own put hangs keeps its client waiting before it is left unanswered; "
            "a large body beside the log, before it is refused with 451.",
            gt=0,
            le=600,
        ),
    ] = 60.0

    def __post_init__(self) -> None:
        """Refuse what no single bound can. Raises: ConfigInvalid."""
        if self.commit_wait_s > self.answer_timeout_s:
            raise ConfigInvalid(
                "[store] commit_wait_s",
                f"{self.commit_wait_s:g} is more than answer_timeout_s ({self.answer_timeout_s:g})",
                "who waits behind a put is told before who waits in it: make it at most answer_timeout_s",
            )
        if self.idle_tick_s < self.lease_s:
            raise ConfigInvalid(
                "[store] idle_tick_s",
                f"{self.idle_tick_s:g} is less than lease_s ({self.lease_s:g})",
                "an idle journal ticks no more often than a busy one: make it at least lease_s",
            )
