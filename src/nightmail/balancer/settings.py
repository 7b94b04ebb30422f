"""What an administrator may say about the balancer."""

from __future__ import annotations

from typing import Annotated

import msgspec


class BalancerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[balancer]`: the load balancer in front of the servers."""

    address: Annotated[str, msgspec.Meta(description="`host:port` to which clients connect.", extra={"endpoint": True})]
    runtime_socket: Annotated[
        str,
        msgspec.Meta(
            description="The Unix socket on which HAProxy takes commands, so that a server that drains gets no new "
            "clients at once; empty: its checks find out.",
            extra={"path": True},
        ),
    ] = ""
    check_every_s: Annotated[
        float, msgspec.Meta(description="How often the balancer asks a server whether it is ready.", gt=0)
    ] = 0.5
    session_limit: Annotated[int, msgspec.Meta(description="The most clients at a time, in all.", ge=1)] = 4_000
