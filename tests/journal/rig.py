"""Journals for tests: segments made by hand, and a writer on a store that does what it is told."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence

import google_crc32c
from hypothesis import strategies as st
from sim.checkers import Archive, Ledger
from sim.letters import Letter, envelope_of
from sim.store import SimulatedStore
from sim.world import WALL_AT_ZERO_S, SeededRandomness, VirtualClock

from nightmail.journal.arrival import Arrival
from nightmail.journal.keys import slot_key
from nightmail.journal.ownership import Adopter, Identity, Ownership
from nightmail.journal.reading import Segment, read_segment
from nightmail.journal.records import Accepted, Adopted, BodyPlace, Codec, Progress, Record, Tick
from nightmail.journal.segment import (
    HEADER_BYTES,
    MAGIC,
    VERSION,
    Header,
    Placed,
    decode_header,
    decode_records,
    encode_segment,
    flag_of,
)
from nightmail.journal.writer import Journal
from nightmail.mail.envelope import Envelope, Recipient
from nightmail.mail.reply import Reply
from nightmail.store.protocol import Buffer
from nightmail.store.settings import StoreSettings

QUEUE = "mx1.0.1"
SETTINGS = StoreSettings(url="memory://")
HELLO = b"Subject: hello\r\n\r\nhello\r\n"


def identity(server: str = "mx1", life: str = "life-1") -> Identity:
    return Identity(server, life, "machine", "boot", f"alive/{life}")


def adopted(epoch: int = 1, owner: str = "mx1") -> Adopted:
    return identity(owner).adopted(epoch)


def accepted(
    message_id: str,
    *,
    recipients: int = 1,
    claimed: tuple[int, ...] = (),
    offset: int = 0,
    drop: str = "",
    key: str = "",
) -> Accepted:
    place = BodyPlace(len(HELLO), google_crc32c.value(HELLO), offset, key)
    return Accepted(message_id, envelope_of(message_id, recipients, drop=drop), place, WALL_AT_ZERO_S, claimed)


def build(
    records: Sequence[Record],
    *,
    bodies: Sequence[Buffer] = (),
    queue: str = QUEUE,
    slot: int = 0,
    epoch: int = 1,
    floor: int = 0,
    promise_ms: int = 3000,
    nonce: bytes = b"n" * 16,
) -> tuple[Header, bytes]:
    flags = 0
    for record in records:
        flags |= flag_of(record)
    header, data = encode_segment(
        [Codec.encode(record) for record in records], list(bodies),
        queue=queue, slot=slot, epoch=epoch, nonce=nonce, floor=floor, promise_ms=promise_ms, flags=flags,
    )  # fmt: skip
    return header, b"".join(data)


def segment(records: Sequence[Record], slot: int, *, floor: int = 0, epoch: int = 1) -> tuple[Header, list[Placed]]:
    header, data = build(records, slot=slot, floor=floor, epoch=epoch)
    return header, decode_records("key", header, data[HEADER_BYTES : header.bodies_begin])


def lay(
    store: SimulatedStore,
    slot: int,
    *records: Record,
    bodies: Sequence[Buffer] = (),
    queue: str = QUEUE,
    epoch: int = 1,
    floor: int = 0,
    promise_ms: int = 3000,
) -> str:
    """Lay a segment into its slot; its key."""
    key = slot_key(queue, slot)
    _, data = build(
        records, bodies=bodies, queue=queue, slot=slot, epoch=epoch, floor=floor, promise_ms=promise_ms,
        nonce=slot.to_bytes(16, "big"),
    )  # fmt: skip
    store.objects.contents[key] = data
    return key


def lay_newer(store: SimulatedStore, slot: int) -> str:
    """Lay a whole segment of the next format into its slot; its key."""
    key = lay(store, slot, Tick())
    data = bytearray(store.objects.contents[key])
    struct.pack_into(">H", data, len(MAGIC), VERSION + 1)
    head = len(MAGIC) + data[len(MAGIC) :].index(QUEUE.encode()) + 96
    struct.pack_into(">I", data, head, google_crc32c.value(bytes(data[:head])))
    store.objects.contents[key] = bytes(data)
    return key


def slots_of(store: SimulatedStore, queue: str = QUEUE) -> list[int]:
    prefix = f"queues/{queue}/log/"
    return [int(key.removeprefix(prefix)) for key in sorted(store.objects.contents) if key.startswith(prefix)]


def header_in(store: SimulatedStore, slot: int, queue: str = QUEUE) -> Header:
    key = slot_key(queue, slot)
    return decode_header(key, store.objects.contents[key])


async def records_in(store: SimulatedStore, slot: int, queue: str = QUEUE) -> list[Record]:
    found: Segment = await read_segment(SimulatedStore(store.objects), queue, slot)
    return [placed.record for placed in found.records]


class Desk:
    """A journal of a generation just opened, and everything around it."""

    def __init__(self, settings: StoreSettings = SETTINGS, seed: int = 1) -> None:
        self.archive = Archive()
        self.store = SimulatedStore(self.archive)
        self.clock = VirtualClock()
        self.randomness = SeededRandomness(seed)
        self.settings = settings
        self.ledger = Ledger()
        self.fenced: list[str] = []
        self.orphans: list[Arrival] = []
        self.is_busy = False
        self._journal: Journal | None = None

    @property
    def journal(self) -> Journal:
        if self._journal is None:
            raise RuntimeError("the journal is not open yet")
        return self._journal

    def adopter(self, server: str = "mx1", life: str = "life-1") -> Adopter:
        promise_ms = int(self.settings.lease_s * 1000)
        return Adopter(self.store, self.clock, self.randomness, identity(server, life), promise_ms=promise_ms)

    async def open(self, owned: Ownership | None = None) -> Journal:
        owned = owned or await self.adopter().open_generation("mx1", 0)
        self._journal = Journal(
            self.store, self.clock, self.randomness, self.settings, owned,
            is_busy=lambda: self.is_busy, on_fenced=self._fenced,
        )  # fmt: skip
        self.writing = self._journal.start()
        return self._journal

    def letter(self, message_id: str, body: bytes = HELLO, claims: tuple[int, ...] = (), **named: object) -> Letter:
        """A message handed to the journal."""
        letter = Letter(message_id, self.ledger, body=body, claims=claims, **named)  # type: ignore[arg-type]
        self.journal.accept(letter)
        return letter

    def puts(self) -> int:
        """How many segments have landed."""
        return len(self.archive.landed)

    def _fenced(self, _: Journal, orphans: list[Arrival], why: str) -> None:
        self.fenced.append(why)
        self.orphans += orphans


async def settle_down() -> None:
    """Let everything happen that takes no time."""
    for _ in range(50):
        await asyncio.sleep(0)


texts = st.text(max_size=20)
ids = st.sampled_from([f"M{number}" for number in range(6)])
indexes = st.sets(st.integers(0, 3), max_size=4).map(lambda found: tuple(sorted(found)))
replies = st.builds(Reply, st.integers(200, 599), st.sampled_from(["", "4.4.1", "5.1.1"]), texts)
times = st.integers(0, 2_000_000_000).map(float)
recipients = st.lists(st.builds(Recipient, texts, texts, st.integers(0, 15), texts), min_size=4, max_size=4).map(tuple)
envelopes = st.builds(Envelope, texts, recipients, texts, texts, st.booleans(), st.booleans(), texts, texts)
places = st.builds(BodyPlace, st.integers(0, 1 << 30), st.integers(0, 0xFFFFFFFF), st.integers(0, 1 << 22), texts)
progresses = st.builds(
    Progress, indexes, indexes, st.integers(0, 99), times, st.booleans(), st.booleans(), st.booleans(),
    st.none() | replies, st.booleans(),
)  # fmt: skip
