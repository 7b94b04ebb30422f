"""From the outcomes of an attempt to what is written down about it: pure, its rules in one place."""

from __future__ import annotations

import msgspec

from nightmail.delivery.job import Outcome
from nightmail.journal.records import AMBIGUOUS, DEFERRED, DELIVERED, FAILED, WITHDRAWN, Settled, Settlement
from nightmail.mail.reply import Reply
from nightmail.queue.backoff import Backoff

_KINDS = {"delivered": DELIVERED, "failed": FAILED, "deferred": DEFERRED, "ambiguous": AMBIGUOUS}
_AGAIN_S = 1.0


class Settling(msgspec.Struct, frozen=True):
    """What is to be written down, and the outcomes as they count: one that expired counts as failed."""

    record: Settled
    outcomes: list[Outcome]


def settle(
    message_id: str,
    outcomes: list[Outcome],
    *,
    attempts: int,
    arrival: float,
    now: float,
    backoff: Backoff,
    is_report: bool,
    holds_ambiguous: bool,
) -> Settling:
    """Write down how an attempt ended; `attempts` counts this one, `now` is wall-clock seconds."""
    if len(outcomes) == 1 and outcomes[0].kind == "delivered":
        outcome = outcomes[0]
        return Settling(Settled(message_id, (Settlement(outcome.index, DELIVERED),)), outcomes)
    next_attempt = 0.0
    if any(outcome.kind in ("deferred", "ambiguous") for outcome in outcomes):
        again = backoff.next_attempt(attempts, arrival, now, is_report=is_report)
        if again is None:
            outcomes = [_expired(outcome) for outcome in outcomes]
        next_attempt = again or 0.0
    results = tuple(_settlement(outcome) for outcome in outcomes)
    hold = holds_ambiguous and any(outcome.kind == "ambiguous" for outcome in outcomes)
    return Settling(Settled(message_id, results, next_attempt, attempts, hold=hold), outcomes)


def withdraw(message_id: str, recipients: tuple[int, ...], now: float) -> Settled:
    """Nothing was attempted: the claim is taken back and the message is due again soon (J8)."""
    return Settled(message_id, tuple(Settlement(index, WITHDRAWN) for index in recipients), now + _AGAIN_S)


def _settlement(outcome: Outcome) -> Settlement:
    reply = None if outcome.kind == "delivered" else outcome.reply
    return Settlement(outcome.index, _KINDS[outcome.kind], reply)


def _expired(outcome: Outcome) -> Outcome:
    """A recipient whose time is over has failed, with the last reply as the reason (RFC 3463 §3.5: 4.4.7)."""
    if outcome.kind not in ("deferred", "ambiguous"):
        return outcome
    reply = Reply(outcome.reply.code, "4.4.7", f"delivery time expired; last reply: {outcome.reply}")
    return Outcome(outcome.index, "failed", reply, False, outcome.relay)
