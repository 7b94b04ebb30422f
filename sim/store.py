"""A store in memory whose calls end when and how a test says.

`Objects` is what the store holds: durable from the instant of creation, shared by all. Each process of a test gets
a `SimulatedStore` on it, with faults of its own. A call of that store

- is held until the test lets it go: `held = store.hold_next("put_new")`, then `land`, `answer`, `lose`, `fail`;
- or meets a fate that was decided before: `store.decide_next("put_new", Fate.LOST_AFTER_LANDING)`;
- or meets the store out of reach: `store.cut()`, `store.restore()`;
- or is left to chance: `SimulatedStore(objects, chaos=Chaos(random.Random(seed)))`;
- or else happens at once, after the event loop has gone round.

An effect (an object created, a page listed) is always one instant between call and answer, as in a real store.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

from nightmail.store.keys import split_key, split_prefix
from nightmail.store.protocol import Buffer, NotFound, Put, PutFailed
from sim.store_faults import Chaos, Fate, Held, Operation, meet, suffer, unknown

T = TypeVar("T")


class Happened(NamedTuple):
    """One effect on the objects, in the order in which they took place."""

    operation: Operation
    key: str
    outcome: Put | None


@dataclass
class Objects:
    """What a store holds. `capacity_bytes` is the room for all of it; None: endless."""

    contents: dict[str, bytes] = field(default_factory=dict)
    capacity_bytes: int | None = None
    history: list[Happened] = field(default_factory=list)

    def asked(self, key: str, data: bytes) -> None:
        """Somebody wants an object created, perhaps not for the first time."""

    def create(self, key: str, data: bytes) -> Put:
        """The one atomic step. Raises: PutFailed without room."""
        if key in self.contents:
            return Put.EXISTS
        if self.capacity_bytes is not None and self.used_bytes + len(data) > self.capacity_bytes:
            raise PutFailed(f"{key}: no room")
        self.contents[key] = data
        return Put.CREATED

    def remove(self, key: str) -> None:
        """Remove what may not be there."""
        self.contents.pop(key, None)

    @property
    def used_bytes(self) -> int:
        """The size of all objects."""
        return sum(map(len, self.contents.values()))

    def count(self, operation: Operation, outcome: Put | None = None) -> int:
        """How many effects of a kind there were, of those with this outcome if one is given."""
        return sum(e.operation == operation and outcome in (None, e.outcome) for e in self.history)


class SimulatedStore:
    """One process's way to the objects: a `Store`."""

    def __init__(self, objects: Objects | None = None, *, chaos: Chaos | None = None, page_size: int = 1000) -> None:
        self.objects = Objects() if objects is None else objects
        self._chaos = chaos
        self._page_size = page_size
        self._holds: list[Held] = []
        self._decided: list[tuple[Operation, str, Fate]] = []
        self._is_reachable = True
        self._calls_hang = False
        self._hung: list[Callable[[], None]] = []

    def hold_next(self, operation: Operation, key_part: str = "") -> Held:
        """Hold the next call of this kind whose key (or prefix) contains `key_part`; several holds queue up."""
        held = Held(operation, key_part)
        self._holds.append(held)
        return held

    def decide_next(self, operation: Operation, fate: Fate, key_part: str = "") -> None:
        """Decide how the next call of this kind ends whose key (or prefix) contains `key_part`."""
        self._decided.append((operation, key_part, fate))

    def cut(self, *, hang: bool = False) -> None:
        """Put the store out of reach: calls fail with nobody knowing, or hang until it is back."""
        self._calls_hang = hang
        self._is_reachable = False

    def restore(self) -> None:
        """Bring it back within reach; what hung goes on."""
        self._is_reachable = True
        hung, self._hung = self._hung, []
        for go_on in hung:
            go_on()

    async def put_new(self, key: str, data: Sequence[Buffer]) -> Put:
        """See `Store.put_new`."""
        split_key(key)
        content = b"".join(data)
        self.objects.asked(key, content)
        return await self._perform("put_new", key, lambda: self.objects.create(key, content))

    def put_body(self, key: str) -> SimulatedBodyWriter:
        """See `Store.put_body`."""
        split_key(key)
        return SimulatedBodyWriter(self, key)

    async def get_range(self, key: str, offset: int, size: int) -> bytes:
        """See `Store.get_range`."""
        split_key(key)

        def effect() -> bytes:
            if key not in self.objects.contents:
                raise NotFound(key)
            return self.objects.contents[key][offset : offset + size]

        return await self._perform("get_range", key, effect)

    async def get_heads(self, keys: Sequence[str], size: int) -> list[bytes | None]:
        """See `Store.get_heads`."""

        async def head(key: str) -> bytes | None:
            try:
                return await self.get_range(key, 0, size)
            except NotFound:
                return None

        return list(await asyncio.gather(*map(head, keys)))

    async def list_after(self, prefix: str, after: str) -> AsyncGenerator[list[str], None]:
        """See `Store.list_after`. Each page is what is there at its own instant."""
        split_prefix(prefix)
        while page := await self._perform("list_after", prefix, partial(self._page, prefix, after)):
            yield page
            after = page[-1]

    async def delete(self, keys: Sequence[str]) -> None:
        """See `Store.delete`."""
        for key in keys:
            split_key(key)
            await self._perform("delete", key, partial(self.objects.remove, key))

    async def free_bytes(self) -> int | None:
        """Room that is left; None if it is endless."""
        capacity = self.objects.capacity_bytes
        return await self._perform(
            "free_bytes", "", lambda: None if capacity is None else max(0, capacity - self.objects.used_bytes)
        )

    async def sweep(self, prefix: str, older_than_s: float) -> int:
        """There are no temporaries."""
        return 0

    async def close(self) -> None:
        """Nothing to let go of."""

    def _page(self, prefix: str, after: str) -> list[str]:
        keys = sorted(key for key in self.objects.contents if key.startswith(prefix) and key > after)
        return keys[: self._page_size]

    async def _perform(self, operation: Operation, key: str, effect: Callable[[], T]) -> T:
        def happen() -> T:
            result = effect()
            self.objects.history.append(Happened(operation, key, result if isinstance(result, Put) else None))
            return result

        for held in self._holds:
            if held.operation == operation and held.key_part in key:
                self._holds.remove(held)
                return await held.stand(key, happen)
        for decided in self._decided:
            if decided[0] == operation and decided[1] in key:
                self._decided.remove(decided)
                return meet(decided[2], operation, key, happen)
        if not self._is_reachable:
            if self._calls_hang:
                return await self._hang(operation, key, happen)
            await asyncio.sleep(0)
            raise unknown(operation, key)
        if self._chaos is not None:
            return await suffer(self._chaos, operation, key, happen, asyncio.get_running_loop().create_future())
        await asyncio.sleep(0)
        return happen()

    async def _hang(self, operation: Operation, key: str, happen: Callable[[], T]) -> T:
        """Wait, on the way to the store, until that is back, and go on; not for a caller that died meanwhile."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._hung.append(partial(self._go_on, operation, key, happen, answer))
        return await answer

    def _go_on(self, operation: Operation, key: str, happen: Callable[[], T], answer: asyncio.Future[T]) -> None:
        if not answer.done():
            suffer(self._chaos or Chaos.none(), operation, key, happen, answer)


class SimulatedBodyWriter:
    """Pieces in memory until they are committed."""

    def __init__(self, store: SimulatedStore, key: str) -> None:
        self._store = store
        self._key = key
        self._pieces: list[bytes] | None = []

    async def write(self, data: Sequence[Buffer]) -> None:
        """See `BodyWriter.write`."""
        await asyncio.sleep(0)
        self._open_pieces().extend(map(bytes, data))

    async def commit(self) -> None:
        """See `BodyWriter.commit`."""
        content = b"".join(self._open_pieces())
        self._pieces = None
        created = await self._store._perform(
            "put_body", self._key, lambda: self._store.objects.create(self._key, content)
        )
        if created is Put.EXISTS:
            raise PutFailed(f"{self._key}: there is such an object already")

    async def abort(self) -> None:
        """See `BodyWriter.abort`."""
        self._pieces = None

    def _open_pieces(self) -> list[bytes]:
        if self._pieces is None:
            raise PutFailed(f"{self._key}: was committed or aborted before")
        return self._pieces
