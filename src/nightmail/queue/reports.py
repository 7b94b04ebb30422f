"""Which reports are due: who asked to hear of what, and who never hears of anything (RFC 3461 §4.1, §5.2)."""

from __future__ import annotations

from collections.abc import Iterable

from nightmail.mail.envelope import NOTIFY_DELAY, NOTIFY_FAILURE, NOTIFY_SUCCESS, Envelope
from nightmail.mail.fate import Action, Fate

_ASKED_BY = {
    Action.FAILED: NOTIFY_FAILURE,
    Action.DELAYED: NOTIFY_DELAY,
    Action.DELIVERED: NOTIFY_SUCCESS,
    Action.RELAYED: NOTIFY_SUCCESS,
    Action.EXPANDED: NOTIFY_SUCCESS,
}
_UNASKED = NOTIFY_FAILURE | NOTIFY_DELAY


def is_wanted(notify: int, action: Action) -> bool:
    """Whether a recipient's NOTIFY asks for a report of `action`; without NOTIFY, failures and delays are reported."""
    return bool((notify or _UNASKED) & _ASKED_BY[action])


def due(envelope: Envelope, fates: Iterable[Fate]) -> list[Fate]:
    """Those of `fates`, all of one segment, that the sender is to be told, in one report; empty: no report.

    A message from the null sender is a report itself: whatever becomes of it, nobody is told (RFC 5321 §6.1).
    """
    if not envelope.sender:
        return []
    return [fate for fate in fates if is_wanted(fate.recipient.notify, fate.action)]


def success(*, is_final: bool, relayed_without_dsn: bool) -> Action | None:
    """What a delivery that went well is to a report, or None where the next hop was asked to report in our place.

    `is_final`: it went into a mailbox (Maildir, LMTP) or was discarded on purpose, and no further hop follows.
    """
    if is_final:
        return Action.DELIVERED
    return Action.RELAYED if relayed_without_dsn else None
