"""The books of both ends, and what they say when they are held against each other."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import msgspec

Answer = Literal["acknowledged", "refused", "unanswered"]


class Sent(msgspec.Struct, frozen=True):
    """What a client knows of a message whose body it sent: the answer, and the id that a 250 named."""

    answer: Answer
    queue_id: str = ""


class Arrival(msgspec.Struct, frozen=True):
    """A whole copy at its destination: the message, which server had taken it, and which one brought it.

    `session_began` is when that server opened the session, in seconds of the elapsed clock.
    """

    number: int
    queue_id: str
    taken_by: str
    brought_by: str
    session_began: float


class Books:
    """What was sent and what arrived, message by message; a message's number is its name.

    A refused message is repeated by its client, and its last answer counts, but for what was acknowledged once.
    """

    def __init__(self) -> None:
        self.sent: dict[int, Sent] = {}
        self.copies: Counter[int] = Counter()
        self.queue_ids: dict[int, set[str]] = {}
        self.acknowledged = 0

    def note_sent(self, number: int, answer: Answer, queue_id: str = "") -> None:
        """A client was answered, or knows that it will not be."""
        self.sent[number] = Sent(answer, queue_id)
        self.acknowledged += answer == "acknowledged"

    def note_arrival(self, arrival: Arrival) -> None:
        """A whole copy reached its destination."""
        self.copies[arrival.number] += 1
        self.queue_ids.setdefault(arrival.number, set()).add(arrival.queue_id)

    @property
    def arrived(self) -> int:
        """How many messages arrived, each counted once."""
        return len(self.copies)

    def audit(self, queued: frozenset[str], ambiguous: frozenset[str]) -> Ledger:
        """The sums; `queued` are the ids that still wait, `ambiguous` those of which the servers say so."""
        acknowledged = {number: sent for number, sent in self.sent.items() if sent.answer == "acknowledged"}
        missing = {number: sent for number, sent in acknowledged.items() if not self.copies[number]}
        waiting = [number for number, sent in missing.items() if sent.queue_id in queued]
        doubled = [number for number, copies in self.copies.items() if copies > 1]
        return Ledger(
            acknowledged=len(acknowledged),
            delivered=len(acknowledged) - len(missing),
            queued=len(waiting),
            lost=len(missing) - len(waiting),
            duplicated=len(doubled),
            ambiguous=sum(bool(self.queue_ids[number] & ambiguous) for number in doubled),
            unanswered=sum(sent.answer == "unanswered" for sent in self.sent.values()),
            refused=sum(sent.answer == "refused" for sent in self.sent.values()),
            contradicted=sum(sent.answer == "refused" and self.copies[n] > 0 for n, sent in self.sent.items()),
        )


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of an audit, in messages.

    `ambiguous` of the `duplicated` are on record as possibly delivered before (RFC 1047). `unanswered` are those whose
    client lost its connection before the answer: SMTP has it repeat them, and the clients of the demonstration don't.
    `contradicted` were refused, and arrived.
    """

    acknowledged: int
    delivered: int
    queued: int
    lost: int
    duplicated: int
    ambiguous: int
    unanswered: int
    refused: int
    contradicted: int
