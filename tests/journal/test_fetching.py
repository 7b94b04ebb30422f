"""What is read back out of the log is what was written, or is named corrupt; what moved away is read where it is."""

from __future__ import annotations

import asyncio

import google_crc32c
import pytest
from sim.loop import in_virtual_time
from sim.store import SimulatedStore
from sim.store_faults import Fate
from tests.journal.rig import HELLO, QUEUE, accepted, adopted, lay

from nightmail.errors import Corrupt, StoreUnavailable
from nightmail.journal.fetching import WHOLE_BODY_BYTES, Fetcher, StoredBody
from nightmail.journal.keys import body_key, slot_key
from nightmail.journal.reading import read_segment, replay
from nightmail.journal.records import BodyPlace, Moved, Tick
from nightmail.journal.state import QueueState

LARGE = bytes(range(256)) * (WHOLE_BODY_BYTES // 256 + 100)
PIECE = 64 << 10


async def fetcher(store: SimulatedStore) -> tuple[Fetcher, QueueState]:
    state = (await replay(store, QUEUE)).state
    return Fetcher(store, QUEUE, state), state


def two_messages() -> SimulatedStore:
    store = SimulatedStore()
    lay(store, 0, adopted())
    other = b"Subject: other\r\n"
    lay(store, 1, accepted("M0"), accepted("M1", offset=len(other)), bodies=[other, HELLO])
    return store


@in_virtual_time
async def test_an_envelope_and_a_body_are_read_back() -> None:
    reader, state = await fetcher(two_messages())
    record = await reader.record(state.messages["M1"])
    assert (record.id, record.envelope.sender) == ("M1", "m1@example.org")
    body = reader.body(state.messages["M1"], record)
    assert body.size_bytes == len(HELLO)
    assert await body.read(0, 1 << 20) == HELLO
    assert await body.read(9, 5) == HELLO[9:14]


@in_virtual_time
async def test_a_small_body_is_kept_in_memory_and_a_large_one_is_not() -> None:
    store = two_messages()
    reader, state = await fetcher(store)
    message = state.messages["M1"]
    body = reader.body(message, await reader.record(message))
    await body.load()
    assert bytes(body.in_memory or b"") == HELLO
    reads = store.objects.count("get_range")
    assert await body.read(2, 4) == HELLO[2:6]
    await body.load()
    assert store.objects.count("get_range") == reads
    store.objects.contents["large"] = LARGE
    large = StoredBody(store, "large", 0, BodyPlace(len(LARGE), google_crc32c.value(LARGE)))
    await large.load()
    assert large.in_memory is None


async def read_in_pieces(body: StoredBody) -> bytes:
    return b"".join([await body.read(offset, PIECE) for offset in range(0, body.size_bytes, PIECE)])


@in_virtual_time
async def test_a_body_of_its_own_is_read_in_pieces_and_summed_up_at_the_end() -> None:
    store = SimulatedStore()
    key = body_key(QUEUE, "M1")
    store.objects.contents[key] = LARGE
    lay(store, 0, accepted("M1", key=key))
    reader, state = await fetcher(store)
    record = await reader.record(state.messages["M1"])
    assert reader.body(state.messages["M1"], record).size_bytes == len(HELLO)
    body = StoredBody(store, key, 0, BodyPlace(len(LARGE), google_crc32c.value(LARGE), 0, key))
    assert await read_in_pieces(body) == LARGE
    assert await read_in_pieces(body) == LARGE, "a second attempt begins to sum anew"


@in_virtual_time
async def test_a_body_that_changed_is_corrupt_at_its_last_piece() -> None:
    store = SimulatedStore()
    store.objects.contents["body"] = LARGE[:-1] + b"?"
    body = StoredBody(store, "body", 0, BodyPlace(len(LARGE), google_crc32c.value(LARGE)))
    with pytest.raises(Corrupt, match="checksum"):
        await read_in_pieces(body)


@in_virtual_time
async def test_a_body_that_ends_early_is_corrupt() -> None:
    store = SimulatedStore()
    store.objects.contents["body"] = LARGE[:-1]
    body = StoredBody(store, "body", 0, BodyPlace(len(LARGE), google_crc32c.value(LARGE)))
    with pytest.raises(Corrupt, match="ends within") as caught:
        await read_in_pieces(body)
    assert caught.value.offset == len(LARGE) - 1


@in_virtual_time
async def test_a_body_read_out_of_order_is_not_judged_by_its_sum() -> None:
    store = SimulatedStore()
    store.objects.contents["body"] = LARGE
    body = StoredBody(store, "body", 0, BodyPlace(len(LARGE), google_crc32c.value(LARGE)))
    assert await body.read(100, 10) == LARGE[100:110]
    assert await body.read(50, PIECE) == LARGE[50 : 50 + PIECE]
    assert await read_in_pieces(body) == LARGE


@pytest.mark.parametrize("damage", [b"\xc1", b"\x92\x05\xa2M1", b"\x92\x05\xa2\xff\xfe", b""])
@in_virtual_time
async def test_a_record_that_cannot_be_read_is_corrupt(damage: bytes) -> None:
    store = two_messages()
    reader, state = await fetcher(store)
    message = state.messages["M1"]
    key = slot_key(QUEUE, 1)
    data = bytearray(store.objects.contents[key])
    data[message.offset : message.offset + message.size] = damage.ljust(message.size, b"\x00") if damage else b""
    store.objects.contents[key] = bytes(data)
    with pytest.raises(Corrupt) as caught:
        await reader.record(message)
    assert caught.value.key == key


@in_virtual_time
async def test_anothers_record_is_not_taken_for_ones_own() -> None:
    store = two_messages()
    reader, state = await fetcher(store)
    message, other = state.messages["M1"], state.messages["M0"]
    message.offset, message.size = other.offset, other.size
    with pytest.raises(Corrupt, match="another record"):
        await reader.record(message)


@in_virtual_time
async def test_a_store_out_of_reach_and_a_slot_that_is_gone_are_temporary() -> None:
    store = two_messages()
    reader, state = await fetcher(store)
    message = state.messages["M1"]
    record = await reader.record(message)
    store.decide_next("get_range", Fate.FAILED)
    with pytest.raises(StoreUnavailable):
        await reader.record(message)
    del store.objects.contents[slot_key(QUEUE, 1)]
    with pytest.raises(StoreUnavailable, match="is not there"):
        await reader.record(message)
    with pytest.raises(StoreUnavailable, match="moved away"):
        await reader.body(message, record).read(0, 10)


@in_virtual_time
async def test_a_message_moved_while_its_record_is_read_is_read_where_it_lies_now() -> None:
    store = two_messages()
    reader, state = await fetcher(store)
    message = state.messages["M1"]
    record = await reader.record(message)
    held = store.hold_next("get_range", slot_key(QUEUE, 1))
    reading = asyncio.ensure_future(reader.record(message))
    await held.reached()
    place = BodyPlace(len(HELLO), google_crc32c.value(HELLO), 5)
    moved = Moved("M1", record.envelope, place, record.arrival, message.progress())
    lay(store, 2, moved, bodies=[b"12345", HELLO])
    found = await read_segment(store, QUEUE, 2)
    state.apply(found.header, found.records)
    held.answer()
    again = await reading
    assert again == moved
    assert await reader.body(message, again).read(0, 1 << 20) == HELLO


@in_virtual_time
async def test_a_message_that_ended_while_its_record_was_read_is_no_fault() -> None:
    store = two_messages()
    lay(store, 2, Tick())
    reader, state = await fetcher(store)
    message = state.messages["M1"]
    held = store.hold_next("get_range", slot_key(QUEUE, 1))
    reading = asyncio.ensure_future(reader.record(message))
    await held.reached()
    state.cut(2)
    held.answer()
    with pytest.raises(StoreUnavailable, match="cut off"):
        await reading
