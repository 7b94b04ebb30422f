"""The limits of an SMTP session, each with the reply that RFC 5321 or RFC 3463 gives to whoever crosses it."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated

import msgspec
from msgspec import Meta


class SmtpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client may send, and how much of it."""

    message_size_limit_bytes: Annotated[
        int, Meta(description="The largest message that is taken; a larger one is refused with 552 5.3.4.", ge=1024)
    ] = 50 * 1024 * 1024
    recipient_limit: Annotated[
        int, Meta(description="Recipients of one message; more are put off with 452 4.5.3.", ge=100)
    ] = 1000
    command_length_bytes: Annotated[
        int, Meta(description="Octets of a command line; a longer one is refused with 500 5.5.6.", ge=512, le=65536)
    ] = 2048
    received_limit: Annotated[
        int, Meta(description="Received headers after which a message counts as looping: 554 5.4.6.", ge=1)
    ] = 50
    error_limit: Annotated[
        int, Meta(description="Errors without a message in between after which a session is closed: 421 4.7.0.", ge=1)
    ] = 20
    session_limit: Annotated[
        int, Meta(description="Sessions at the same time in one switch; more are turned away with 421 4.3.2.", ge=1)
    ] = 1000
    client_session_limit: Annotated[
        int, Meta(description="Sessions at the same time from one client address; more get 421 4.7.0.", ge=1)
    ] = 50
    idle_timeout_s: Annotated[
        float, Meta(description="Seconds of silence after which a session is closed with 421 4.4.2.", gt=0)
    ] = 300.0
    space_factor: Annotated[
        float, Meta(description="Free space, in largest messages, below which mail is put off with 452 4.3.1.", ge=0)
    ] = 1.5
    bare_newlines_from: Annotated[
        tuple[str, ...],
        Meta(description="Networks of old clients whose bare line feeds are mended instead of refused (550 5.6.0)."),
    ] = ()

    def __post_init__(self) -> None:
        for network in self.bare_newlines_from:
            ip_network(network)
