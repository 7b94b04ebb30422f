"""The records of a journal: what happened to a queue, one fact each.

They are msgpack arrays tagged by a small number, so that a segment's records stay readable by every release that
knows the number; fields are only ever added at the end, with a default. No record ever holds itself, so that Python's
collector need not know of them (`gc=False`): a long log is read the sooner.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from nightmail.mail.envelope import Envelope
from nightmail.mail.reply import Reply

DELIVERED = 1
FAILED = 2
DEFERRED = 3
AMBIGUOUS = 4
WITHDRAWN = 5


class BodyPlace(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a message's bytes lie: in the segment of the record that names them, or in an object of their own.

    `offset` counts from the beginning of the segment's bodies and is meaningless where `key` names an object.
    """

    size_bytes: int
    crc: int
    offset: int = 0
    key: str = ""


class Progress(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What has become of a message since it was accepted.

    `pending` are the indexes of the recipients still to be served; `claimed` those of them whose attempt may be under
    way. `next_attempt` is wall-clock seconds, 0 for at once. `drop`: its drop file may still be there.
    """

    pending: tuple[int, ...]
    claimed: tuple[int, ...] = ()
    attempts: int = 0
    next_attempt: float = 0.0
    held: bool = False
    delay_reported: bool = False
    ambiguous: bool = False
    reply: Reply | None = None
    drop: bool = False


class Adopted(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """From this slot on the queue is owned by `owner`, in the life of it that `incarnation` names.

    `machine` and `boot` are the host's ids and `lock` a file that the owner keeps locked as long as it lives, for the
    proof of death on the same machine (J7).
    """

    epoch: int
    owner: str
    incarnation: str
    machine: str
    boot: str
    lock: str
    group: str = ""


class Accepted(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """A message is ours to deliver; `claimed` recipients may be under way already (J8)."""

    id: str
    envelope: Envelope
    body: BodyPlace
    arrival: float
    claimed: tuple[int, ...] = ()


class Claimed(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """An attempt for these recipients begins: without a `settled` its end is ambiguous (J8)."""

    id: str
    recipients: tuple[int, ...]


class Settlement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How an attempt ended for one recipient: one of DELIVERED, FAILED, DEFERRED, AMBIGUOUS, WITHDRAWN."""

    recipient: int
    outcome: int
    reply: Reply | None = None


class Settled(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """How an attempt ended, recipient by recipient.

    `next_attempt` is when the deferred recipients are due again (wall-clock seconds), `attempts` how many there have
    been. `delay_reported` stands where the same segment accepts the report of the delay (J13), `hold` where an
    ambiguous delivery waits for an operator (J8).
    """

    id: str
    results: tuple[Settlement, ...]
    next_attempt: float = 0.0
    attempts: int = 0
    delay_reported: bool = False
    hold: bool = False


class Voided(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5):
    """The message landed, its session was never answered: it is the client's to repeat (J1)."""

    id: str


class Held(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=6):
    """An operator asked that no attempt be made."""

    id: str


class Resumed(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7):
    """An operator asked for an attempt, held or not, at `next_attempt` (wall-clock seconds, 0 for at once)."""

    id: str
    next_attempt: float = 0.0


class Edited(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8):
    """An operator ended the message for these recipients: `deleted`, or else bounced."""

    id: str
    recipients: tuple[int, ...]
    deleted: bool


class Moved(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=9):
    """A message's whole state, carried forward so that the log can be cut behind it (J10)."""

    id: str
    envelope: Envelope
    body: BodyPlace
    arrival: float
    progress: Progress


class Yielded(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=10):
    """The owner gave the queue up: anybody may adopt at once (J7)."""


class Closed(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=11):
    """The queue is empty and stays so: nobody adopts past this (J5)."""


class Tick(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=12):
    """The owner lives."""


Record = Adopted | Accepted | Claimed | Settled | Voided | Held | Resumed | Edited | Moved | Yielded | Closed | Tick
MessageRecord = Accepted | Moved


class Codec:
    """The msgpack encoder and decoders, made once."""

    _encoder: ClassVar = msgspec.msgpack.Encoder()
    _one: ClassVar = msgspec.msgpack.Decoder(Record)
    _many: ClassVar = msgspec.msgpack.Decoder(list[Record])

    @classmethod
    def encode(cls, record: Record) -> bytes:
        """One record as msgpack."""
        return cls._encoder.encode(record)

    @classmethod
    def decode(cls, data: bytes | memoryview) -> Record:
        """One record. Raises: msgspec.DecodeError."""
        record: Record = cls._one.decode(data)
        return record

    @classmethod
    def decode_all(cls, count: int, data: bytes | memoryview) -> list[Record]:
        """`count` records that lie one after another. Raises: msgspec.DecodeError."""
        records: list[Record] = cls._many.decode(b"\xdd" + count.to_bytes(4, "big") + data)
        return records
