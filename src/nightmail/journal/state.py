"""What a journal's records add up to: the messages still to be delivered, and where in the log they lie.

The same `apply` serves replay and the live queue: the live state is by construction what a replay would find. It
holds durable facts only, so a record is applied once its segment is known to be in its slot.

Memory is what counts here: a waiting message costs one small object. Its envelope stays in the segment, to be read
again when an attempt is due.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from nightmail.journal.records import (
    AMBIGUOUS,
    DEFERRED,
    DELIVERED,
    FAILED,
    Accepted,
    Adopted,
    BodyPlace,
    Claimed,
    Closed,
    Edited,
    Held,
    Moved,
    Progress,
    Record,
    Resumed,
    Settled,
    Tick,
    Voided,
    Yielded,
)
from nightmail.journal.segment import Header, Placed
from nightmail.mail.reply import Reply

_FINAL = (DELIVERED, FAILED)
_WHOLE = (Accepted, Moved)
_EVERY_FIRST: tuple[tuple[int, ...], ...] = tuple(tuple(range(n)) for n in range(17))


def every(count: int) -> tuple[int, ...]:
    """The indexes of `count` recipients; the small ones are shared."""
    return _EVERY_FIRST[count] if count < len(_EVERY_FIRST) else tuple(range(count))


def _without(indexes: tuple[int, ...], gone: list[int]) -> tuple[int, ...]:
    """`indexes` but for those in `gone`. Most messages have one recipient: that must be quick, for logs are long."""
    if not gone or not indexes:
        return indexes
    if len(indexes) == 1:
        return () if indexes[0] in gone else indexes
    left_out = set(gone)
    return tuple([index for index in indexes if index not in left_out])


class LiveMessage:
    """A message that is accepted and not finished, as far as the log is known.

    `slot`, `offset` and `size` find the record that holds its envelope; `body_bytes` is the body's size and
    `aside` tells that it is an object of its own. `wait_until` belongs to the schedule that it waits in. The rest is
    its progress (see `records.Progress`).
    """

    __slots__ = (
        "ambiguous", "arrival", "aside", "attempts", "body_bytes", "claimed", "delay_reported", "drop", "held", "id",
        "next_attempt", "offset", "pending", "reply", "size", "slot", "wait_until",
    )  # fmt: skip

    def __init__(self, id: str, arrival: float, pending: tuple[int, ...], body: BodyPlace) -> None:
        self.id = id
        self.arrival = arrival
        self.pending = pending
        self.body_bytes = body.size_bytes
        self.aside = bool(body.key)
        self.slot = self.offset = self.size = 0
        self.claimed: tuple[int, ...] = ()
        self.attempts = 0
        self.next_attempt = 0.0
        self.wait_until = 0.0
        self.held = self.delay_reported = self.ambiguous = self.drop = False
        self.reply: Reply | None = None

    def progress(self) -> Progress:
        """The message's progress as a value, to be carried forward."""
        return Progress(
            self.pending, self.claimed, self.attempts, self.next_attempt, self.held, self.delay_reported,
            self.ambiguous, self.reply, self.drop,
        )  # fmt: skip

    def restore(self, progress: Progress) -> None:
        """Take over a progress that was carried forward."""
        self.pending, self.claimed = progress.pending, progress.claimed
        self.attempts, self.next_attempt = progress.attempts, progress.next_attempt
        self.held, self.delay_reported = progress.held, progress.delay_reported
        self.ambiguous, self.reply, self.drop = progress.ambiguous, progress.reply, progress.drop


class SlotUse(NamedTuple):
    """How much of a segment is still needed."""

    size_bytes: int
    bodies_begin: int
    is_kept: bool


class QueueState:
    """The sum of a journal's records from the floor on.

    `messages` is in the order of the slots that hold their envelopes, so that its first is the oldest in the log.
    `held` are the ids of those an operator holds, `finished_aside` those of messages that are done with and whose
    bodies are objects of their own.
    """

    def __init__(self) -> None:
        self.messages: dict[str, LiveMessage] = {}
        self.slots: dict[int, SlotUse] = {}
        self.live_in: dict[int, int] = {}
        self.log_bytes = 0
        self.live_bytes = 0
        self.finished_aside: list[str] = []
        self.held: set[str] = set()
        self.epoch = 0
        self.owner: Adopted | None = None
        self.is_yielded = False
        self.is_closed = False
        self._replies: dict[Reply, Reply] = {}

    def apply(self, header: Header, records: Iterable[Placed]) -> None:
        """Take in a segment that is known to be in its slot."""
        slot = header.slot
        self.slots[slot] = SlotUse(header.size_bytes, header.bodies_begin, header.is_kept)
        self.log_bytes += header.size_bytes
        self.is_yielded = False
        for placed in records:
            record = placed.record
            if isinstance(record, Settled):
                self._settled(record)
            elif isinstance(record, _WHOLE):
                self._place(record, slot, placed.offset, placed.size)
            else:
                _CHANGES[type(record)](self, record)

    def cut(self, floor: int) -> list[int]:
        """Forget the segments below `floor`; the slots among them that may be deleted (J5)."""
        gone = [(slot, self.slots.pop(slot)) for slot in list(itertools.takewhile(floor.__gt__, self.slots))]
        self.log_bytes -= sum(use.size_bytes for _, use in gone)
        return [slot for slot, use in gone if not use.is_kept]

    def floor(self, tail: int) -> int:
        """The lowest slot that replay still needs, `tail` where no message is live."""
        return min(next(iter(self.live_in), tail), tail)

    def oldest(self) -> Iterator[LiveMessage]:
        """The live messages, those that hold the floor down first."""
        return iter(self.messages.values())

    def doubt_everything(self) -> None:
        """A slot could not be read: what was open before it may have been delivered (J14)."""
        for message in self.messages.values():
            message.claimed = message.pending

    def _place(self, record: Accepted | Moved, slot: int, offset: int, size: int) -> None:
        message = self.messages.pop(record.id, None)
        if message is not None:
            self._leave_slot(message)
        else:
            message = LiveMessage(record.id, record.arrival, every(len(record.envelope.recipients)), record.body)
        if isinstance(record, Moved):
            message.restore(record.progress)
            if message.held:
                self.held.add(message.id)
        else:
            message.claimed = record.claimed
            message.drop = bool(record.envelope.drop)
        message.slot, message.offset, message.size = slot, offset, size
        self.messages[record.id] = message
        self.live_in[slot] = self.live_in.get(slot, 0) + 1
        self.live_bytes += size + (0 if message.aside else message.body_bytes)

    def _leave_slot(self, message: LiveMessage) -> None:
        self.live_bytes -= message.size + (0 if message.aside else message.body_bytes)
        left = self.live_in[message.slot] - 1
        if left:
            self.live_in[message.slot] = left
        else:
            del self.live_in[message.slot]

    def _finish(self, message_id: str) -> None:
        message = self.messages.pop(message_id, None)
        if message is not None:
            self._leave_slot(message)
            self.held.discard(message_id)
            if message.aside:
                self.finished_aside.append(message.id)

    def _claimed(self, record: Claimed) -> None:
        message = self.messages.get(record.id)
        if message is not None:
            message.drop = False
            message.claimed = tuple(sorted({*message.claimed, *record.recipients}))

    def _settled(self, record: Settled) -> None:
        message = self.messages.get(record.id)
        if message is None:
            return
        answered: list[int] = []
        ended: list[int] = []
        for result in record.results:
            outcome, reply = result.outcome, result.reply
            answered.append(result.recipient)
            if outcome in _FINAL:
                ended.append(result.recipient)
            elif reply is not None and outcome in (DEFERRED, AMBIGUOUS):
                message.reply = self._shared(reply)
            message.ambiguous = message.ambiguous or outcome == AMBIGUOUS
        message.pending = _without(message.pending, ended)
        if not message.pending:
            self._finish(record.id)
            return
        message.claimed = _without(message.claimed, answered)
        message.attempts = max(message.attempts, record.attempts)
        message.next_attempt = max(message.next_attempt, record.next_attempt)
        message.delay_reported = message.delay_reported or record.delay_reported
        if record.hold:
            self._hold(message)

    def _shared(self, reply: Reply) -> Reply:
        """The same reply said a hundred thousand times is kept once."""
        if len(self._replies) >= 1024:
            self._replies.clear()
        return self._replies.setdefault(reply, reply)

    def _voided(self, record: Voided) -> None:
        self._finish(record.id)

    def _held(self, record: Held) -> None:
        if record.id in self.messages:
            self._hold(self.messages[record.id])

    def _hold(self, message: LiveMessage) -> None:
        message.held = True
        self.held.add(message.id)

    def _resumed(self, record: Resumed) -> None:
        message = self.messages.get(record.id)
        if message is not None:
            message.held = False
            self.held.discard(record.id)
            message.next_attempt = record.next_attempt

    def _edited(self, record: Edited) -> None:
        message = self.messages.get(record.id)
        if message is None:
            return
        message.pending = tuple(index for index in message.pending if index not in record.recipients)
        message.claimed = tuple(index for index in message.claimed if index not in record.recipients)
        if not message.pending:
            self._finish(record.id)

    def _adopted(self, record: Adopted) -> None:
        self.epoch = record.epoch
        self.owner = record

    def _yielded(self, _record: Yielded) -> None:
        self.is_yielded = True

    def _closed(self, _record: Closed) -> None:
        self.is_closed = True

    def _ticked(self, _record: Record) -> None:
        """A tick says only what its slot says: the owner lives."""


_CHANGES: dict[type, Callable[..., None]] = {
    Claimed: QueueState._claimed,
    Voided: QueueState._voided,
    Held: QueueState._held,
    Resumed: QueueState._resumed,
    Edited: QueueState._edited,
    Adopted: QueueState._adopted,
    Yielded: QueueState._yielded,
    Closed: QueueState._closed,
    Tick: QueueState._ticked,
}
