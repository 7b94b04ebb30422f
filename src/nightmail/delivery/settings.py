"""What an operator may set about sending. The times are those of RFC 5321 §4.5.3.2 unless there is reason to differ."""

from __future__ import annotations

from typing import Annotated

import msgspec


class DeliverySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long to wait for a next hop, and how much to send over one connection."""

    connect_timeout_s: Annotated[
        float, msgspec.Meta(description="How long one address may take to accept a connection.", gt=0)
    ] = 30.0
    greeting_timeout_s: Annotated[float, msgspec.Meta(description="How long the next hop may take to greet.", gt=0)] = (
        300.0
    )
    hello_timeout_s: Annotated[
        float, msgspec.Meta(description="How long the next hop may take to answer EHLO or LHLO.", gt=0)
    ] = 300.0
    envelope_timeout_s: Annotated[
        float, msgspec.Meta(description="How long each of MAIL, RCPT and DATA may wait for its answer.", gt=0)
    ] = 300.0
    data_block_timeout_s: Annotated[
        float, msgspec.Meta(description="How long the next hop may take to read 256 KiB of a message.", gt=0)
    ] = 180.0
    final_timeout_s: Annotated[
        float, msgspec.Meta(description="How long the next hop may take to answer the end of a message.", gt=0)
    ] = 600.0
    transaction_timeout_s: Annotated[
        float,
        msgspec.Meta(
            description="How long one message may take up to its end, however steadily the next hop drips.", gt=0
        ),
    ] = 3600.0
    quit_timeout_s: Annotated[
        float, msgspec.Meta(description="How long the next hop may take to answer QUIT.", gt=0)
    ] = 5.0
    close_timeout_s: Annotated[
        float, msgspec.Meta(description="How long a switch that stops waits for what is under way.", ge=0)
    ] = 5.0
    idle_reuse_s: Annotated[
        float, msgspec.Meta(description="How long a connection is kept for the next message; 0: not at all.", ge=0)
    ] = 5.0
    idle_connections: Annotated[
        int, msgspec.Meta(description="How many connections a switch keeps for the next message, in all.", ge=0)
    ] = 200
    messages_per_connection: Annotated[
        int, msgspec.Meta(description="How many messages go over one connection; 0: any number.", ge=0)
    ] = 1000
    recipients_per_transaction: Annotated[
        int,
        msgspec.Meta(description="How many recipients one copy of a message is sent with (RFC 5321 §4.5.3.1.8).", ge=1),
    ] = 100
    sessions_per_attempt: Annotated[
        int,
        msgspec.Meta(description="How many mail hosts one attempt opens a session with, should sessions break.", ge=1),
    ] = 2
    chunking: Annotated[
        bool, msgspec.Meta(description="Whether messages are sent by BDAT where the next hop offers it (RFC 3030).")
    ] = False
    maildir_threads: Annotated[int, msgspec.Meta(description="How many threads write into Maildirs.", ge=1)] = 4
