"""The audit: what was acknowledged against what arrived, what still waits, what came twice, and what is lost."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.e2e.sink import Received
from tests.faults.load import Fate, Sent

_AUDIT_ID = re.compile(rb"^X-Audit-Id: (\S+)", re.MULTILINE)
_QUEUE_ID = re.compile(rb"^Received:.*?\bid ([0-9A-Z]+)", re.DOTALL | re.MULTILINE)
Place = tuple[str, str]


@dataclass
class Ledger:
    """The sums, each one of message and recipient; the lists name the entries that need an explanation."""

    title: str
    kills: int = 0
    acknowledged: int = 0
    delivered: int = 0
    queued: int = 0
    unanswered: int = 0
    refused: int = 0
    lost: list[Place] = field(default_factory=list)
    duplicates: list[Place] = field(default_factory=list)
    unexplained: list[Place] = field(default_factory=list)
    refused_yet_delivered: list[Place] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """The ledger as it is printed beside a test's name."""
        return (
            f"{self.title}: acknowledged {self.acknowledged}, delivered {self.delivered}, queued {self.queued}, "
            f"lost {len(self.lost)}, duplicated {len(self.duplicates)} (not recorded as ambiguous: "
            f"{len(self.unexplained)}), unanswered {self.unanswered}, refused {self.refused}, "
            f"refused yet delivered {len(self.refused_yet_delivered)}, damaged {len(self.damaged)}"
        ) + (f", kills {self.kills}" if self.kills else "")

    def assert_sound(self) -> None:
        """Nothing acknowledged is lost, nothing refused arrived, and what came twice is on record (R6)."""
        assert not self.lost, f"{self}; lost: {self.lost[:10]}"
        assert not self.refused_yet_delivered, f"{self}; refused yet delivered: {self.refused_yet_delivered[:10]}"
        assert not self.unexplained, f"{self}; duplicates without a record: {self.unexplained[:10]}"
        assert not self.damaged, f"{self}; damaged: {self.damaged[:10]}"
        assert self.acknowledged, f"{self}; nothing was acknowledged, so nothing was tested"


def in_all(ledgers: list[Ledger]) -> str:
    """The campaign in one line."""
    return (
        f"In all: kills {sum(ledger.kills for ledger in ledgers)}, "
        f"acknowledged {sum(ledger.acknowledged for ledger in ledgers)}, "
        f"lost {sum(len(ledger.lost) for ledger in ledgers)}, "
        f"duplicated {sum(len(ledger.duplicates) for ledger in ledgers)} (not recorded as ambiguous: "
        f"{sum(len(ledger.unexplained) for ledger in ledgers)})"
    )


class Arrivals:
    """Every copy that reached its destination, by message and recipient."""

    def __init__(self) -> None:
        self.copies: Counter[Place] = Counter()
        self.queue_ids: defaultdict[Place, set[str]] = defaultdict(set)
        self.damaged: list[str] = []

    def add(self, data: bytes, recipients: Iterable[str]) -> None:
        """Count one copy for each recipient."""
        audit = _AUDIT_ID.search(data)
        queue = _QUEUE_ID.search(data)
        if audit is None or not data.endswith(b"dog; the switch must not lose him on the way.\r\n"):
            if b"multipart/report" not in data:
                self.damaged.append(repr(data[:200]))
            return
        for recipient in recipients:
            place = (audit[1].decode(), recipient)
            self.copies[place] += 1
            self.queue_ids[place].add(queue[1].decode() if queue else "")


def audit(
    title: str,
    *,
    book: list[Sent],
    received: list[Received],
    mailbox: list[bytes],
    queued_ids: set[str],
    log: str,
    kills: int = 0,
) -> Ledger:
    """Hold the book against what arrived. `mailbox` is the Maildir of box@local.test; `queued_ids` still wait."""
    arrivals = Arrivals()
    for message in received:
        arrivals.add(message.data, message.recipients)
    for data in mailbox:
        arrivals.add(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), ["box@local.test"])
    ledger = Ledger(title, kills, delivered=arrivals.copies.total(), damaged=arrivals.damaged)
    for sent in book:
        _enter(ledger, sent, arrivals, queued_ids)
    ambiguous = _ambiguous_ids(log)
    ledger.duplicates = [place for place, copies in arrivals.copies.items() if copies > 1]
    ledger.unexplained = [place for place in ledger.duplicates if not arrivals.queue_ids[place] & ambiguous]
    return ledger


def _enter(ledger: Ledger, sent: Sent, arrivals: Arrivals, queued_ids: set[str]) -> None:
    for recipient in sent.recipients:
        place = (sent.audit_id, recipient)
        arrived = place in arrivals.copies
        if sent.fate is Fate.ACKNOWLEDGED:
            ledger.acknowledged += 1
            waits = sent.queue_id in queued_ids
            ledger.queued += waits and not arrived
            if not (arrived or waits):
                ledger.lost.append(place)
        elif sent.fate is Fate.UNANSWERED:
            ledger.unanswered += 1
        else:
            ledger.refused += sent.fate is Fate.REFUSED
            if arrived:
                ledger.refused_yet_delivered.append(place)


def _ambiguous_ids(log: str) -> set[str]:
    lines = (line for line in log.splitlines() if "ambiguous" in line)
    return {found[1] for line in lines if (found := re.search(r'\bid"?[=:]\s?"?([0-9A-Z]+)', line))}
