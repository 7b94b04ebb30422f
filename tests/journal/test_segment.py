"""A segment is read exactly as it was written, or is Corrupt: nothing in between."""

from __future__ import annotations

import struct

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.journal import rig
from tests.journal.rig import accepted, adopted, build, envelopes, ids, indexes, places, progresses, replies, times

from nightmail.errors import Corrupt, FormatUnknown
from nightmail.journal.records import (
    Accepted,
    Adopted,
    Claimed,
    Closed,
    Codec,
    Edited,
    Held,
    Moved,
    Record,
    Resumed,
    Settled,
    Settlement,
    Tick,
    Voided,
    Yielded,
)
from nightmail.journal.segment import HEADER_BYTES, MAGIC, RECORD_PART_LIMIT_BYTES, decode_header, decode_records

KEY = "queues/mx1.0.1/log/00000000000000000007"
settlements = st.builds(Settlement, st.integers(0, 3), st.integers(1, 5), st.none() | replies)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(Adopted, st.integers(1, 1 << 40), *[rig.texts] * 6),
    st.builds(Accepted, ids, envelopes, places, times, indexes),
    st.builds(Claimed, ids, indexes),
    st.builds(Settled, ids, st.lists(settlements).map(tuple), times, st.integers(0, 99), st.booleans(), st.booleans()),
    st.builds(Voided, ids),
    st.builds(Held, ids),
    st.builds(Resumed, ids, times),
    st.builds(Edited, ids, indexes, st.booleans()),
    st.builds(Moved, ids, envelopes, places, times, progresses),
    st.just(Yielded()),
    st.just(Closed()),
    st.just(Tick()),
)
EXAMPLE = build(
    [adopted(), accepted("M1"), Claimed("M1", (0,)), Tick()], bodies=[b"body one", b"body two"], slot=7, floor=3
)


def read(data: bytes) -> list[Record]:
    header = decode_header(KEY, data)
    part = data[HEADER_BYTES : header.bodies_begin]
    return [placed.record for placed in decode_records(KEY, header, part)]


@given(
    st.lists(records, max_size=8),
    st.lists(st.binary(max_size=50), max_size=3),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 32) - 1),
    st.binary(min_size=16, max_size=16),
)
def test_what_was_written_is_read_back(
    written: list[Record], bodies: list[bytes], slot: int, floor: int, promise_ms: int, nonce: bytes
) -> None:
    header, data = build(written, bodies=bodies, slot=slot, floor=floor, epoch=slot, promise_ms=promise_ms, nonce=nonce)
    assert decode_header(KEY, data) == header
    assert (header.slot, header.floor, header.promise_ms, header.nonce) == (slot, floor, promise_ms, nonce)
    assert header.size_bytes == len(data)
    assert data[header.bodies_begin :] == b"".join(bodies)
    assert read(data) == written


@given(st.lists(records, min_size=1, max_size=5))
def test_each_record_is_found_by_its_place_alone(written: list[Record]) -> None:
    header, data = build(written, bodies=[b"body"])
    placed = decode_records(KEY, header, data[HEADER_BYTES : header.bodies_begin])
    for record, found in zip(written, placed, strict=True):
        assert found.record == record
        assert Codec.decode(data[found.offset : found.offset + found.size]) == record


def test_a_segment_that_ends_early_is_corrupt() -> None:
    for length in range(EXAMPLE[0].bodies_begin):
        with pytest.raises(Corrupt) as caught:
            read(EXAMPLE[1][:length])
        assert caught.value.key == KEY
        assert 0 <= caught.value.offset <= length


def test_a_flipped_bit_is_never_accepted() -> None:
    for bit in range(8 * EXAMPLE[0].bodies_begin):
        data = bytearray(EXAMPLE[1])
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Corrupt):
            read(bytes(data))


def test_bytes_behind_the_records_belong_to_the_bodies() -> None:
    header, data = EXAMPLE
    assert read(data + b"more") == read(data)
    with pytest.raises(Corrupt):
        decode_records(KEY, header, data[HEADER_BYTES : header.bodies_begin + 1])


def forge(head: bytes) -> bytes:
    return head + struct.pack(">I", google_crc32c.value(head))


def head_of(**changed: int) -> bytes:
    fields = {"version": 1, "count": 0, "records_bytes": 0, "bodies_bytes": 0, "crc": 0} | changed
    return struct.pack(
        ">8sHHIQQ16sQIIII96s", MAGIC, fields["version"], 0, 3000, 7, 1, b"n" * 16, 0,
        fields["count"], fields["records_bytes"], fields["bodies_bytes"], fields["crc"], b"mx1.0.1",
    )  # fmt: skip


def test_the_forged_header_is_well_formed() -> None:
    assert decode_header(KEY, forge(head_of())).queue == "mx1.0.1"


@pytest.mark.parametrize(
    "claim",
    [
        {"count": 0xFFFFFFFF},
        {"records_bytes": 0xFFFFFFFF},
        {"count": RECORD_PART_LIMIT_BYTES // 4 + 1},
        {"records_bytes": RECORD_PART_LIMIT_BYTES + 1},
    ],
)
def test_a_header_that_claims_too_much_is_refused(claim: dict[str, int]) -> None:
    with pytest.raises(Corrupt, match="claims a record part"):
        decode_header(KEY, forge(head_of(**claim)))


def test_a_later_format_is_named_not_guessed_at_and_is_no_damage() -> None:
    with pytest.raises(FormatUnknown, match="format 2 by a newer release"):
        decode_header(KEY, forge(head_of(version=2)))


def test_another_kind_of_file_is_no_segment() -> None:
    with pytest.raises(Corrupt, match="does not begin as a segment"):
        decode_header(KEY, b"\x89PNG".ljust(HEADER_BYTES, b"\0"))


@pytest.mark.parametrize(
    "record",
    [
        b"\x92\x05\xa2\xff\xfe",  # an id that is no UTF-8
        b"\x92\x63\xa1x",  # a tag of no record
        b"\x92\x05\x07",  # a number for an id
        b"\x93\x03\xa1x\xdd\xff\xff\xff\xff",  # four milliards of recipients
        b"\xc1",  # no msgpack
        b"",
    ],
)
def test_records_that_say_nothing_are_corrupt_though_their_checksum_is_right(record: bytes) -> None:
    part = struct.pack(">I", len(record)) + record
    head = forge(head_of(count=1, records_bytes=len(record), crc=google_crc32c.value(part)))
    with pytest.raises(Corrupt, match="can't be read"):
        read(head + part)


@pytest.mark.parametrize(("count", "lengths"), [(1, (3,)), (2, (9, 9))])
def test_an_index_that_does_not_add_up_is_corrupt(count: int, lengths: tuple[int, ...]) -> None:
    encoded = b"".join([Codec.encode(Tick())] * count)
    part = struct.pack(f">{count}I", *lengths) + encoded
    head = forge(head_of(count=count, records_bytes=len(encoded), crc=google_crc32c.value(part)))
    with pytest.raises(Corrupt, match="add up"):
        read(head + part)


@pytest.mark.parametrize(("record", "kept"), [(adopted(), True), (Closed(), True), (Yielded(), False), (Tick(), False)])
def test_only_adopted_and_closed_are_kept_for_good(record: Record, *, kept: bool) -> None:
    assert build([Tick(), record])[0].is_kept is kept


def test_a_queue_name_that_does_not_fit_is_refused_at_writing() -> None:
    with pytest.raises(ValueError, match="longer than"):
        build([], queue="x" * 97)
