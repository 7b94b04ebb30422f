"""Getting a waiting message back out of the log: its envelope, and its body in ranges."""

from __future__ import annotations

import google_crc32c

from nightmail.errors import Corrupt, StoreUnavailable
from nightmail.journal.keys import slot_key
from nightmail.journal.records import Accepted, BodyPlace, Codec, Moved
from nightmail.journal.state import LiveMessage, QueueState
from nightmail.store.protocol import NotFound, Store

WHOLE_BODY_BYTES = 256 << 10


class StoredBody:
    """A body in the store, read in ranges; its checksum is compared where it is read from end to end.

    One of at most 256 KiB is kept in memory once it was read.
    """

    def __init__(self, store: Store, key: str, begin: int, place: BodyPlace) -> None:
        self.size_bytes = place.size_bytes
        self.in_memory: memoryview | None = None
        self.damage: Corrupt | None = None
        self._store = store
        self._key = key
        self._begin = begin
        self._place = place
        self._expected_crc = place.crc
        self._crc = 0
        self._summed = 0

    def again(self) -> StoredBody:
        """The same body, to be read from its beginning by another reader."""
        return StoredBody(self._store, self._key, self._begin, self._place)

    async def load(self) -> None:
        """Read the whole body into memory if it is small. Raises: Corrupt, StoreUnavailable."""
        if self.in_memory is None and self.size_bytes <= WHOLE_BODY_BYTES:
            self.in_memory = memoryview(await self.read(0, self.size_bytes))

    async def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, fewer at the end. Raises: Corrupt, StoreUnavailable."""
        if self.in_memory is not None:
            return bytes(self.in_memory[offset : offset + size])
        size = min(size, self.size_bytes - offset)
        try:
            data = await self._store.get_range(self._key, self._begin + offset, size)
        except NotFound as error:
            raise StoreUnavailable(f"{self._key} was moved away while it was read") from error
        if len(data) != size:
            self.damage = Corrupt(self._key, self._begin + offset + len(data), "ends within a body")
            raise self.damage
        self._sum(offset, data)
        return data

    def _sum(self, offset: int, data: bytes) -> None:
        if offset == 0:
            self._crc = self._summed = 0
        if offset != self._summed:
            return
        self._crc = google_crc32c.extend(self._crc, data)
        self._summed += len(data)
        if self._summed == self.size_bytes and self._crc != self._expected_crc:
            self.damage = Corrupt(self._key, self._begin, "a body and its checksum differ")
            raise self.damage


class Fetcher:
    """Reads the messages of one queue back from its log."""

    def __init__(self, store: Store, queue: str, state: QueueState) -> None:
        self._store = store
        self._queue = queue
        self._state = state

    async def record(self, message: LiveMessage) -> Accepted | Moved:
        """The record that brought `message` to where it lies now. Raises: Corrupt, StoreUnavailable."""
        slot, offset = message.slot, message.offset
        key = slot_key(self._queue, slot)
        try:
            data = await self._store.get_range(key, offset, message.size)
        except NotFound as error:
            raise StoreUnavailable(f"{key} is not there") from error
        if slot not in self._state.slots:
            raise StoreUnavailable(f"{key} was cut off while it was read")
        if message.slot != slot:
            # Carried forward meanwhile: only the newer record tells where its body lies now.
            return await self.record(message)
        try:
            record = Codec.decode(data)
        except ValueError as error:
            raise Corrupt(key, offset, f"a record can't be read: {error}") from error
        if not isinstance(record, Accepted | Moved) or record.id != message.id:
            raise Corrupt(key, offset, f"holds another record than that of message {message.id}")
        return record

    def body(self, message: LiveMessage, record: Accepted | Moved) -> StoredBody:
        """The body that `record` names, not yet read; to be asked in the step that got the record."""
        place = record.body
        if place.key:
            return self.aside(place)
        use = self._state.slots[message.slot]
        return StoredBody(self._store, slot_key(self._queue, message.slot), use.bodies_begin + place.offset, place)

    def aside(self, place: BodyPlace) -> StoredBody:
        """The body in an object of its own, not yet read."""
        return StoredBody(self._store, place.key, 0, place)
