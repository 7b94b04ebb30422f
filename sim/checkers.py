"""Checkers: small questions about what the world saw and what the log holds, one for each promise.

The `Ledger` is kept by those outside: clients note the answers they got, destinations the messages they were given.
The `Archive` is a store that remembers every segment that ever landed, deleted or not. No checker believes the
switch's own idea of what it did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from nightmail.journal.keys import slot_of
from nightmail.journal.reading import list_queues, replay
from nightmail.journal.records import AMBIGUOUS, FAILED, Accepted, Edited, Moved, Record, Settled, Voided
from nightmail.journal.segment import HEADER_BYTES, decode_header, decode_records
from nightmail.mail.envelope import Envelope
from nightmail.store.protocol import Put
from sim.store import Objects, SimulatedStore

Share = tuple[str, int]
"""One recipient's part of a message: its id, and the recipient's place in the envelope."""


@dataclass
class Archive(Objects):
    """Objects, and every segment that ever landed, in the order of landing."""

    landed: list[tuple[str, bytes]] = field(default_factory=list)

    def create(self, key: str, data: bytes) -> Put:
        """As `Objects.create`, remembered."""
        created = super().create(key, data)
        if created is Put.CREATED and slot_of(key) is not None:
            self.landed.append((key, data))
        return created

    def segments(self) -> Iterator[list[Record]]:
        """The records of each segment that ever landed."""
        for key, data in self.landed:
            header = decode_header(key, data)
            yield [placed.record for placed in decode_records(key, header, data[HEADER_BYTES : header.bodies_begin])]

    def records(self) -> Iterator[Record]:
        """Every record that ever landed."""
        for records in self.segments():
            yield from records


class Dot(NamedTuple):
    """A final dot: of which message, from which queue, by which process, and when (the loop's seconds)."""

    message_id: str
    queue: str
    sender: str
    at: float


@dataclass
class Ledger:
    """What clients were told, and what destinations got.

    `letters`: which earlier message one is that its client sends again, having heard nothing of it or 4xx.
    """

    acknowledged: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    delivered: Counter[Share] = field(default_factory=Counter)
    letters: dict[str, str] = field(default_factory=dict)
    dots: list[Dot] = field(default_factory=list)

    def acknowledge(self, message_id: str, recipients: int = 1) -> None:
        """A client heard 250."""
        self.acknowledged[message_id] = recipients

    def deliver(self, message_id: str, *indexes: int) -> None:
        """A destination has the message for these recipients."""
        self.delivered.update((message_id, index) for index in indexes)


class Findings(NamedTuple):
    """What is wrong: nothing, if every set is empty.

    `lost`: acknowledged, and neither delivered nor ended nor in any log. `contradicted`: refused or voided, and yet
    delivered or queued. `doubled`: delivered more often than recorded ambiguity explains. `untold`: failed for good,
    and no report of it was accepted in the same segment. `hasty`, `stale`, `rivals`: see `timeline`. `left`: still to
    be delivered where everything should have been.
    """

    lost: frozenset[Share] = frozenset()
    contradicted: frozenset[str] = frozenset()
    doubled: frozenset[Share] = frozenset()
    untold: frozenset[str] = frozenset()
    hasty: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()
    rivals: frozenset[str] = frozenset()
    left: frozenset[Share] = frozenset()

    def __str__(self) -> str:
        """Only what there is."""
        return ", ".join(f"{name}: {sorted(found)}" for name, found in self._asdict().items() if found) or "nothing"


NOTHING = Findings()


async def audit(ledger: Ledger, archive: Archive) -> Findings:
    """Compare what the world saw with what the logs hold now."""
    queued = await readable(archive)
    return Findings(
        lost=frozenset(lost(ledger, archive, queued)),
        contradicted=frozenset(contradicted(ledger, archive, queued)),
        doubled=frozenset(doubled(ledger, archive)),
        untold=frozenset(untold(archive)),
    )


async def readable(archive: Objects) -> set[Share]:
    """What an adopter would find still to be done, in all queues."""
    store = SimulatedStore(archive)
    found: set[Share] = set()
    for queue in await list_queues(store):
        state = (await replay(store, queue)).state
        found.update((message.id, index) for message in state.messages.values() for index in message.pending)
    return found


def lost(ledger: Ledger, archive: Archive, queued: set[Share]) -> set[Share]:
    """Acknowledged shares that nobody has and nobody will deliver."""
    promised = {(message_id, index) for message_id, count in ledger.acknowledged.items() for index in range(count)}
    return promised - set(ledger.delivered) - set(ended(archive)) - queued


def ended(archive: Archive) -> Iterator[Share]:
    """Shares that failed for good or that an operator ended: the log says so."""
    for record in archive.records():
        if isinstance(record, Settled):
            yield from ((record.id, result.recipient) for result in record.results if result.outcome == FAILED)
        elif isinstance(record, Edited):
            yield from ((record.id, index) for index in record.recipients)


def contradicted(ledger: Ledger, archive: Archive, queued: set[Share]) -> set[str]:
    """Messages that were refused or voided and that live all the same."""
    voided = {record.id for record in archive.records() if isinstance(record, Voided)}
    alive = {message_id for message_id, _ in [*ledger.delivered, *queued]} | set(ledger.acknowledged)
    return (ledger.refused | voided) & alive


def unwanted(ledger: Ledger) -> set[str]:
    """Messages that were delivered though their client was seen to be gone, and so will repeat them (J1).

    After a crash between the put and the voiding that can't be helped: no part of `audit`.
    """
    return ledger.gone & {message_id for message_id, _ in ledger.delivered}


def doubled(ledger: Ledger, archive: Archive) -> set[Share]:
    """Shares delivered more than once without a record of ambiguity for every time beyond the first."""
    ambiguous: Counter[Share] = Counter(
        (record.id, result.recipient)
        for record in archive.records()
        if isinstance(record, Settled)
        for result in record.results
        if result.outcome == AMBIGUOUS
    )
    return {share for share, count in ledger.delivered.items() if count > 1 + ambiguous[share]}


class Duplicates(NamedTuple):
    """Copies beyond the first, by what explains them.

    `ambiguous`: a claim whose outcome nobody knew was recorded as that. `repeated`: the client of a session that
    ended without an answer sent its letter again.
    """

    ambiguous: int
    repeated: int


def duplicates(ledger: Ledger) -> Duplicates:
    """Count what came more than once; that `doubled` and `contradicted` are empty makes both explained."""
    ambiguous = sum(copies - 1 for copies in ledger.delivered.values() if copies > 1)
    delivered = Counter(
        ledger.letters.get(message_id, message_id) for message_id in {key[0] for key in ledger.delivered}
    )
    return Duplicates(ambiguous, sum(times - 1 for times in delivered.values()))


def untold(archive: Archive) -> set[str]:
    """Messages that failed for good, had a sender to be told, and whose segment holds no report to that sender."""
    envelopes: dict[str, Envelope] = {}
    found = set()
    for records in archive.segments():
        envelopes.update({record.id: record.envelope for record in records if isinstance(record, Accepted | Moved)})
        told = {
            recipient.address
            for record in records
            if isinstance(record, Accepted) and not record.envelope.sender
            for recipient in record.envelope.recipients
        }
        for record in records:
            if isinstance(record, Settled) and any(result.outcome == FAILED for result in record.results):
                sender = envelopes[record.id].sender
                if sender and sender not in told:
                    found.add(record.id)
    return found
