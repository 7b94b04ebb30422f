"""The mail log: one line for each recipient and attempt, in the words that postmasters search for."""

from __future__ import annotations

import structlog

from nightmail.delivery.job import Outcome
from nightmail.switch.attempts import Attempt, Round
from nightmail.switch.parts import Counters

log = structlog.get_logger()

_STATUS = {"delivered": "sent", "failed": "bounced", "deferred": "deferred", "ambiguous": "ambiguous"}


def log_outcomes(
    counters: Counters, round_: Round, attempt: Attempt | None, outcomes: list[Outcome], now: float
) -> None:
    """Say what became of each recipient, and count it; `now` is wall-clock seconds.

    `delays` are, in seconds: from arrival to the beginning of the round, waiting for a slot and its claim, opening
    the session, and transmission.
    """
    envelope = round_.envelope
    for outcome in outcomes:
        setattr(counters, outcome.kind, getattr(counters, outcome.kind) + 1)
        recipient = envelope.recipients[outcome.index]
        log.info(
            "delivery",
            id=round_.id,
            **{"from": f"<{envelope.sender}>"},
            to=f"<{recipient.address}>",
            orig_to=f"<{recipient.orig_to}>" if recipient.orig_to else "",
            relay=outcome.relay or "none",
            delay_s=round(max(now - round_.arrival, 0.0), 3),
            delays=_delays(round_, attempt, outcome, now),
            dsn=outcome.reply.enhanced or _dsn(outcome),
            status=_STATUS[outcome.kind],
            reply=str(outcome.reply),
        )


def _delays(round_: Round, attempt: Attempt | None, outcome: Outcome, now: float) -> str:
    started = attempt.started if attempt is not None and attempt.started else now
    parts = (
        round_.began - round_.arrival,
        started - round_.began,
        outcome.connect_s,
        now - started - outcome.connect_s,
    )
    return "/".join(f"{max(part, 0.0):.3f}".rstrip("0").rstrip(".") for part in parts)


def _dsn(outcome: Outcome) -> str:
    """The class of a reply without an enhanced code, in its most general form (RFC 3463 §2)."""
    if outcome.kind == "delivered":
        return "2.0.0"
    return "5.0.0" if outcome.kind == "failed" else "4.0.0"
