"""What the server side of a session reports to the shell around it, as values in the order in which it happened.

Five events *ask*: HelloReceived, MailReceived, RcptReceived, DataRequested and BodyEnded. After each of them the core
reads no further until it has been given the answer. All the others only tell.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from nightmail.mail.reply import Reply


class HelloReceived(msgspec.Struct, frozen=True, gc=False):
    """The client said who it is; asks. `name` holds no character that could disturb a Received header."""

    kind: Literal["EHLO", "HELO", "LHLO"]
    name: str


class MailReceived(msgspec.Struct, frozen=True, gc=False):
    """A transaction wants to begin; asks.

    `sender` is empty for the null reverse-path. `size_bytes` is what the client declared, None if it declared
    nothing. `body` is `7BIT`, `8BITMIME` or empty; `ret` is `FULL`, `HDRS` or empty; `envid` is xtext as it came.
    """

    sender: str
    size_bytes: int | None = None
    body: str = ""
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""


class RcptReceived(msgspec.Struct, frozen=True, gc=False):
    """A recipient is proposed; asks.

    `address` has a domain unless it is `postmaster`. `notify` is the sum of the NOTIFY_ constants of
    `mail.envelope`; `orcpt` is the ORCPT parameter as it came, or empty.
    """

    address: str
    notify: int = 0
    orcpt: str = ""


class DataRequested(msgspec.Struct, frozen=True, gc=False):
    """The client wants to send the message; asks. A positive answer (354) lets it; with BDAT it is not sent."""

    chunked: bool = False


class BodyReceived(msgspec.Struct, frozen=True, gc=False):
    """A piece of the message: dots unstuffed, every line ending CRLF."""

    data: bytes


class BodyEnded(msgspec.Struct, frozen=True, gc=False):
    """The message is complete and kept every rule; asks.

    `received_count` counts its Received headers, `eight_bit` tells of any byte above 127, `utf8_headers` of one in
    its header part.
    """

    size_bytes: int
    received_count: int
    eight_bit: bool
    utf8_headers: bool


class BodyRefused(msgspec.Struct, frozen=True):
    """The message broke a rule: `wire` says so to the client, and what was received of it is to be forgotten."""

    reply: Reply
    wire: bytes


class TransactionReset(msgspec.Struct, frozen=True, gc=False):
    """The client gave up the transaction: sender, recipients and what came of the body are to be forgotten."""


class ReplyReady(msgspec.Struct, frozen=True, gc=False):
    """The core answered by itself; `wire` is to be sent."""

    wire: bytes


class QuitReceived(msgspec.Struct, frozen=True, gc=False):
    """The client is done: send `wire`, then close."""

    wire: bytes


class CloseRequested(msgspec.Struct, frozen=True, gc=False):
    """The session can't go on: send `wire` (it may be empty), then close."""

    wire: bytes


Event = (
    HelloReceived
    | MailReceived
    | RcptReceived
    | DataRequested
    | BodyReceived
    | BodyEnded
    | BodyRefused
    | TransactionReset
    | ReplyReady
    | QuitReceived
    | CloseRequested
)
