"""How patiently a destination is dealt with: the table `[delivery]`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class DeliverySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Timeouts of outgoing sessions and how long an idle one is kept for the next message."""

    connect_timeout_s: Annotated[
        float, Meta(description="How long a destination's address may take to accept a connection.", gt=0)
    ] = 30.0
    idle_reuse_s: Annotated[
        float, Meta(description="How long a connection with nothing to send is kept for the next message.", ge=0)
    ] = 5.0
