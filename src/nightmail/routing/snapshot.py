"""The routing of one instant: what a switch asks of it, whichever source it was made from.

A snapshot never changes. A switch holds one, and swaps it for the next in one assignment; what was answered from the
old one stays answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from nightmail.mail.reply import Reply
from nightmail.routing.model import ClientRule
from nightmail.routing.route import Route


class Accepted(msgspec.Struct, frozen=True):
    """An address that is taken, as its final recipients.

    `recipients` are whom the message goes to after aliases and lists were expanded, each once, at least one.
    `orig_to` is the address of the RCPT command if that is another one than theirs, else empty.
    """

    recipients: tuple[str, ...]
    orig_to: str = ""


class RoutingSnapshot(Protocol):
    """Answers from one unchanging state of the logical model."""

    @property
    def policies(self) -> Mapping[str, float]:
        """The settings of `[queue]` that are the same on all servers, by their names."""
        ...

    def client_rule(self, ip: str) -> ClientRule:
        """What the client at this IP address may do; empty: nothing special.

        Raises:
            DirectoryUnavailable: it can't be known now.
        """
        ...

    def accept(self, address: str, *, may_relay: bool) -> Accepted | Reply:
        """The final recipients of a RCPT command's address, or the reply that refuses it.

        `may_relay` says that the client may send anywhere; others reach only domains that are ours.

        Raises:
            NotKnownYet: it has to be looked up first.
        """
        ...

    def route(self, address: str) -> Route:
        """The way onward for a final recipient.

        Raises:
            NotKnownYet: it has to be looked up first.
            TemporaryFailure: there is none, or it can't be known now.
            PermanentFailure: its domain can't be one.
        """
        ...

    def forget(self) -> None:
        """Remember no answers: what they were made of may have changed."""
        ...

    def close(self) -> None:
        """Let go of files; the snapshot is asked no more."""
        ...
