"""What became of a message for one recipient, as reports tell it (RFC 3464 §2.3)."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from nightmail.mail.envelope import Envelope, Recipient
from nightmail.mail.headers import Buffer, printable
from nightmail.mail.reply import Reply

_is_status = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}").fullmatch
_EXPIRED = "4.4.7"
_LOCAL = "maildir"


class Action(StrEnum):
    """What was done, the worst first (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


class Fate(msgspec.Struct, frozen=True):
    """One recipient's part of a report.

    `reply` is the next hop's or, where there was none to quote, ours; `relay` names that hop as `host[ip]:port`, is
    `maildir` where delivery was local, or empty where no hop was reached. `attempted_at` and `retry_until` are seconds
    of `Clock.wall`, 0 where unknown.
    """

    recipient: Recipient
    action: Action
    reply: Reply
    relay: str = ""
    attempted_at: float = 0.0
    retry_until: float = 0.0

    @property
    def status(self) -> str:
        """The enhanced status of the reply, or as much of one as its code gives (RFC 3463 §2).

        What failed after temporary replies only has been given up: 4.4.7.
        """
        code_class = {"delayed": 4, "failed": 5}.get(self.action, 2)
        if self.action is Action.FAILED and not self.reply.is_permanent:
            return _EXPIRED
        enhanced = self.reply.enhanced
        fits = _is_status(enhanced) and enhanced.startswith(str(code_class))
        return enhanced if fits else f"{code_class}.0.0"

    @property
    def remote_host(self) -> str:
        """The name of the next hop, its address as a literal where it has no name, or empty.

        Local delivery has none (RFC 3464 §2.3.5).
        """
        if self.relay == _LOCAL:
            return ""
        name, bracket, rest = self.relay.partition("[")
        return printable(name or (bracket + rest.partition("]")[0] + "]" if bracket else ""), 255)


class Original(msgspec.Struct, frozen=True):
    """The message that a report is about.

    `message` is all of it, or at least its first 50 KiB; `size_bytes` is its whole length. `arrival` is seconds of
    `Clock.wall`.
    """

    id: str
    envelope: Envelope
    arrival: float
    message: Buffer
    size_bytes: int
