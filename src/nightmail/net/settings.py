"""What an operator may set about listening and name service."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec


class ListenerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One address on which mail is taken."""

    address: Annotated[
        str,
        msgspec.Meta(description="Where to listen: `host:port`, `[IPv6 address]:port`; the host is an IP address."),
    ]
    service: Annotated[
        Literal["smtp", "submission", "lmtp"],
        msgspec.Meta(description="Who is expected there: other servers, our own users, or an LMTP client."),
    ] = "smtp"
    proxy_from: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="Networks whose connections must begin with a PROXY header; those of anybody else must not."
        ),
    ] = ()


class DnsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How names are looked up."""

    resolvers: Annotated[
        tuple[str, ...],
        msgspec.Meta(description="Resolvers as `address` or `address:port`; empty: those of /etc/resolv.conf."),
    ] = ()
    timeout_s: Annotated[
        float, msgspec.Meta(description="How long one resolver may take to answer before the next is asked.", gt=0)
    ] = 3.0
    lifetime_s: Annotated[
        float,
        msgspec.Meta(description="How long one lookup may take in all; then the failure is temporary.", gt=0),
    ] = 10.0
    cache_entries: Annotated[
        int, msgspec.Meta(description="How many answers are remembered, the least used forgotten first.", ge=0)
    ] = 20_000
    ttl_max_s: Annotated[
        float, msgspec.Meta(description="The longest time an answer is believed, whatever its TTL.", ge=0)
    ] = 86_400.0
    negative_ttl_max_s: Annotated[
        float,
        msgspec.Meta(description="The longest time the absence of a name is believed, whatever its TTL.", ge=0),
    ] = 300.0
    families: Annotated[
        Literal["both", "ipv4", "ipv6"],
        msgspec.Meta(description="The IP versions to which mail is sent; `both` tries IPv6 first for each host."),
    ] = "both"
    addresses_tried: Annotated[
        int, msgspec.Meta(description="How many addresses of a destination one attempt tries.", ge=1)
    ] = 10
