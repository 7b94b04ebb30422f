"""What the demonstration found out."""

from __future__ import annotations

import msgspec

from nightmail.cli.demo.ledger import Ledger


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The audit and the times, in seconds.

    `takeover_s` is from the kill until the survivor had adopted every queue that the dead server ran; `pause_s` is the
    longest that a client waited for an acknowledgement from the kill on, `pause_before_s` before it.
    """

    ledger: Ledger
    lease_s: float
    takeover_s: float
    adopted: int
    pause_s: float
    pause_before_s: float
    refused_for_good: int
    damaged: int

    @property
    def fault(self) -> str:
        """What is not as it should be, in one sentence; empty where all is well."""
        if not self.ledger.acknowledged:
            return "No message was acknowledged, so nothing was shown."
        unrecorded = self.ledger.duplicated - self.ledger.ambiguous
        faults = (
            (self.ledger.lost, "lost"),
            (self.damaged, "damaged"),
            (self.ledger.contradicted, "refused and yet delivered"),
            (unrecorded, "delivered twice without a record of it"),
            (self.refused_for_good, "refused for good"),
        )
        told = [f"{number:,} {what}" for number, what in faults if number]
        return f"Messages are not all well: {', '.join(told)}." if told else ""

    @property
    def is_sound(self) -> bool:
        """Whether nothing was lost, damaged or refused for good, and every second copy is on record (R6, R7)."""
        return not self.fault
