"""What the client's side of a session reports to the shell around it, in the order in which it happened.

A recipient's verdict is in the first of these that concerns it: a negative MailAnswered (all of them), a negative
RecipientAnswered, or a MessageAnswered that names it. Each recipient gets exactly one, unless the connection is lost.
"""

from __future__ import annotations

import msgspec

from nightmail.mail.reply import Reply
from nightmail.smtp.extensions import Extensions


class Greeted(msgspec.Struct, frozen=True):
    """The peer spoke first; if it is positive, say `hello()`."""

    reply: Reply


class HelloAnswered(msgspec.Struct, frozen=True):
    """The peer answered our hello, HELO included if it knew no EHLO; if it is positive, `begin()` may come."""

    reply: Reply
    extensions: Extensions


class MailAnswered(msgspec.Struct, frozen=True):
    """The sender was taken or refused; refused, it is the verdict on every recipient."""

    reply: Reply


class RecipientAnswered(msgspec.Struct, frozen=True):
    """A recipient, by its index in the envelope, was taken (no verdict yet) or refused."""

    index: int
    reply: Reply


class BodyWanted(msgspec.Struct, frozen=True):
    """At least one recipient was taken and the peer is ready for the message: `body()`, then `end_of_body()`."""


class MessageAnswered(msgspec.Struct, frozen=True):
    """The verdict on the message for these recipients; with LMTP each has its own."""

    indexes: tuple[int, ...]
    reply: Reply


class TransactionEnded(msgspec.Struct, frozen=True):
    """Every recipient has its verdict and the dialogue is back in step; `is_ready` tells whether another may begin."""


class CommandReady(msgspec.Struct, frozen=True):
    """The core goes on by itself: `wire` is to be sent."""

    wire: bytes


class Quitted(msgspec.Struct, frozen=True):
    """The peer answered QUIT: close."""


class PeerClosing(msgspec.Struct, frozen=True):
    """The peer gave up the session with 421, or with a refusal in the middle of the message: close."""

    reply: Reply


class ProtocolBroken(msgspec.Struct, frozen=True):
    """What the peer sent is no dialogue any more: close. Recipients without a verdict have none."""

    reason: str


ClientEvent = (
    Greeted
    | HelloAnswered
    | MailAnswered
    | RecipientAnswered
    | BodyWanted
    | MessageAnswered
    | TransactionEnded
    | CommandReady
    | Quitted
    | PeerClosing
    | ProtocolBroken
)
