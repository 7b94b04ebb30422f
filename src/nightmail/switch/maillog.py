"""The mail log: one line for each recipient and attempt, in the words that postmasters search for."""

from __future__ import annotations

from nightmail.delivery.job import Outcome
from nightmail.logs import mail_log
from nightmail.mail.envelope import Envelope
from nightmail.switch.attempts import Attempt, Round
from nightmail.switch.parts import Counters

_STATUS = {"delivered": "sent", "failed": "bounced", "deferred": "deferred", "ambiguous": "ambiguous"}
# Waits are told to the millisecond, and most take less than a second: made once, they cost a look each.
_SHORT_WAITS = ("0", *(f"{milliseconds / 1000:.3f}" for milliseconds in range(1, 1000)))


def log_acceptance(message_id: str, envelope: Envelope, size_bytes: int) -> None:
    """Say that a message is ours from now on."""
    mail_log.info(
        "accepted",
        {
            "id": message_id,
            "from": f"<{envelope.sender}>",
            "client": envelope.client,
            "size_bytes": size_bytes,
            "recipients": len(envelope.recipients),
        },
    )


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
        mail_log.info(
            "delivery",
            {
                "id": round_.id,
                "from": f"<{envelope.sender}>",
                "to": f"<{recipient.address}>",
                "orig_to": f"<{recipient.orig_to}>" if recipient.orig_to else "",
                "relay": outcome.relay or "none",
                "delay_s": max(now - round_.arrival, 0.0),
                "delays": _delays(round_, attempt, outcome, now),
                "dsn": outcome.reply.enhanced or _dsn(outcome),
                "status": _STATUS[outcome.kind],
                "reply": str(outcome.reply),
            },
        )


def _delays(round_: Round, attempt: Attempt | None, outcome: Outcome, now: float) -> str:
    started = attempt.started if attempt is not None and attempt.started else now
    began, connect_s = round_.began, outcome.connect_s
    before, waited = _wait(began - round_.arrival), _wait(started - began)
    return f"{before}/{waited}/{_wait(connect_s)}/{_wait(now - started - connect_s)}"


def _wait(seconds: float) -> str:
    milliseconds = int(seconds * 1000 + 0.5)
    if milliseconds <= 0:
        return "0"
    return _SHORT_WAITS[milliseconds] if milliseconds < len(_SHORT_WAITS) else f"{seconds:.3f}"


def _dsn(outcome: Outcome) -> str:
    """The class of a reply without an enhanced code, in its most general form (RFC 3463 §2)."""
    if outcome.kind == "delivered":
        return "2.0.0"
    return "5.0.0" if outcome.kind == "failed" else "4.0.0"
