"""Segments: the immutable objects in a journal's slots, as bytes.

A segment is a header of fixed size, an index of the records' lengths, the records, and the bodies that they brought:

    header | length of each record, 4 bytes | records (msgpack) | bodies

The header's checksum covers the header, its `records_crc` the index and the records, and each body's checksum
stands in the record that names it. Header and records can be read without the bodies.
"""

from __future__ import annotations

import itertools
import struct
from typing import NamedTuple

import google_crc32c
import msgspec

from nightmail.errors import Corrupt, FormatUnknown
from nightmail.journal.records import Adopted, Closed, Codec, Record, Yielded
from nightmail.store.protocol import Buffer

MAGIC = b"nightml1"
VERSION = 1
SEGMENT_LIMIT_BYTES = 8 << 20
INLINE_BODY_BYTES = 1 << 20
NONCE_BYTES = 16
_QUEUE_BYTES = 96
_HEADER = struct.Struct(f">8sHHIQQ{NONCE_BYTES}sQIIII{_QUEUE_BYTES}s")
_CRC = struct.Struct(">I")
HEADER_BYTES = _HEADER.size + _CRC.size
RECORD_PART_LIMIT_BYTES = 64 << 20

ADOPTS = 1
YIELDS = 2
CLOSES = 4
_FLAGS: dict[type, int] = {Adopted: ADOPTS, Yielded: YIELDS, Closed: CLOSES}


class Header(NamedTuple):
    """What a segment says of itself. `promise_ms` is how long it entitles its writer to deliver (J6)."""

    queue: str
    slot: int
    epoch: int
    nonce: bytes
    floor: int
    promise_ms: int
    flags: int
    record_count: int
    records_bytes: int
    bodies_bytes: int
    records_crc: int

    @property
    def records_begin(self) -> int:
        """The first record's offset in the segment."""
        return HEADER_BYTES + 4 * self.record_count

    @property
    def bodies_begin(self) -> int:
        """The first body's offset in the segment."""
        return self.records_begin + self.records_bytes

    @property
    def size_bytes(self) -> int:
        """The whole segment's size."""
        return self.bodies_begin + self.bodies_bytes

    @property
    def is_kept(self) -> bool:
        """Whether the object is never deleted (J5)."""
        return bool(self.flags & (ADOPTS | CLOSES))

    def encode(self) -> bytes:
        """The header as bytes, with its own checksum."""
        name = self.queue.encode("ascii")
        if len(name) > _QUEUE_BYTES:
            raise ValueError(f"queue name {self.queue!r} is longer than {_QUEUE_BYTES} octets")
        head = _HEADER.pack(
            MAGIC, VERSION, self.flags, self.promise_ms, self.slot, self.epoch, self.nonce, self.floor,
            self.record_count, self.records_bytes, self.bodies_bytes, self.records_crc, name,
        )  # fmt: skip
        return head + _CRC.pack(google_crc32c.value(head))


class Placed(msgspec.Struct, frozen=True, gc=False):
    """A record with its place in the segment: offset and size in bytes."""

    record: Record
    offset: int
    size: int


def flag_of(record: Record) -> int:
    """What a record makes its segment's header say."""
    return _FLAGS.get(type(record), 0)


def encode_segment(
    records: list[bytes],
    bodies: list[Buffer],
    *,
    queue: str,
    slot: int,
    epoch: int,
    nonce: bytes,
    floor: int,
    promise_ms: int,
    flags: int,
) -> tuple[Header, list[Buffer]]:
    """The segment as buffers, in order; the bodies are not copied."""
    index = struct.pack(f">{len(records)}I", *map(len, records))
    part = index + b"".join(records)
    header = Header(
        queue, slot, epoch, nonce, floor, promise_ms, flags,
        record_count=len(records),
        records_bytes=len(part) - len(index),
        bodies_bytes=sum(map(len, bodies)),
        records_crc=google_crc32c.value(part),
    )  # fmt: skip
    return header, [header.encode() + part, *bodies]


def decode_header(key: str, data: bytes) -> Header:
    """The header at the beginning of `data`. Raises: Corrupt, FormatUnknown, each naming `key`."""
    if len(data) < HEADER_BYTES:
        raise Corrupt(key, len(data), f"ends within the header of {HEADER_BYTES} bytes")
    head = data[: _HEADER.size]
    magic, version, flags, promise_ms, slot, epoch, nonce, floor, count, records_bytes, bodies_bytes, crc, name = (
        _HEADER.unpack(head)
    )
    if magic != MAGIC:
        raise Corrupt(key, 0, "does not begin as a segment does")
    if _CRC.unpack_from(data, _HEADER.size)[0] != google_crc32c.value(head):
        raise Corrupt(key, 0, "header and its checksum differ")
    if version != VERSION:
        raise FormatUnknown(key, version, VERSION)
    if 4 * count + records_bytes > RECORD_PART_LIMIT_BYTES:
        raise Corrupt(key, 0, f"claims a record part of {4 * count + records_bytes} bytes")
    queue = name.rstrip(b"\0").decode("ascii", "replace")
    return Header(
        queue, slot, epoch, nonce, floor, promise_ms, flags, count, records_bytes, bodies_bytes, crc
    )  # fmt: skip


def decode_records(key: str, header: Header, part: bytes) -> list[Placed]:
    """The records in `part`, which is the segment's bytes between header and bodies. Raises: Corrupt."""
    if len(part) != header.bodies_begin - HEADER_BYTES:
        raise Corrupt(key, HEADER_BYTES + len(part), "ends within the records")
    if google_crc32c.value(part) != header.records_crc:
        raise Corrupt(key, HEADER_BYTES, "records and their checksum differ")
    lengths = struct.unpack_from(f">{header.record_count}I", part)
    try:
        records = Codec.decode_all(header.record_count, part[4 * header.record_count :])
    except ValueError as error:  # msgspec's own, and what is no UTF-8
        raise Corrupt(key, header.records_begin, f"records can't be read: {error}") from error
    offsets = list(itertools.accumulate(lengths, initial=header.records_begin))
    if offsets.pop() != header.bodies_begin:
        raise Corrupt(key, HEADER_BYTES, "the index does not add up to the records")
    return list(map(Placed, records, offsets, lengths))
