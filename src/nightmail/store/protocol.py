"""What a store must be able to do, and how its answers are to be read.

The one special power is `put_new`: it creates an object if nobody has and fails if somebody has, atomically and
durably. A get or a list that begins after a `put_new` was known shows it, from every endpoint and every mount.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from enum import Enum
from typing import Protocol

from nightmail.errors import StoreUnavailable

Buffer = bytes | bytearray | memoryview


class Put(Enum):
    """What became of a `put_new` whose outcome is known."""

    CREATED = "created"
    EXISTS = "exists"


class PutFailed(StoreUnavailable):
    """The object was not created and never will be by this call: nothing of it was ever visible."""


class StoreFull(PutFailed):
    """The object was not created because there is no room for it."""


class PutUnknown(StoreUnavailable):
    """The object may or may not be there, now or later: the same bytes may be put again until it is known (J3)."""


class PutBroken(StoreUnavailable):
    """The object is visible but its durability is in doubt, and repeating the call can't mend that.

    On POSIX: the directory's fsync failed after the link. Its writer counts as fenced and leaves its waiters
    unanswered (J3).
    """


class NotFound(KeyError):
    """No object has this key. A plain answer, not a fault."""


class BodyWriter(Protocol):
    """A large object that is written piece by piece."""

    async def write(self, data: Sequence[Buffer]) -> None:
        """Append. The buffers may be used again once this returns. Raises: StoreUnavailable."""
        ...

    async def commit(self) -> None:
        """Make the whole object durable and visible under its key. Raises: StoreUnavailable."""
        ...

    async def abort(self) -> None:
        """Forget it; nothing of it becomes visible. Never raises."""
        ...


class Store(Protocol):
    """Objects under keys of path components separated by `/`."""

    async def put_new(self, key: str, data: Sequence[Buffer]) -> Put:
        """Create the object if there is none. CREATED: it is durable. EXISTS: another's object, or ours from an
        attempt whose answer was lost, is there and durable.

        Raises:
            PutFailed: it was not and will not be created.
            PutUnknown: nobody can tell; put the same bytes again.
            PutBroken: it is visible, not provably durable.
        """
        ...

    def put_body(self, key: str) -> BodyWriter:
        """Begin a large object."""
        ...

    async def get_range(self, key: str, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; fewer at the object's end.

        Raises:
            NotFound: no such object.
            StoreUnavailable: try again later.
        """
        ...

    async def get_heads(self, keys: Sequence[str], size: int) -> list[bytes | None]:
        """The first `size` bytes of many objects, in the order of their keys; None for one that is not there.

        Each is what `get_range` would give, read at one time or another within the call. Raises: StoreUnavailable.
        """
        ...

    def list_after(self, prefix: str, after: str) -> AsyncGenerator[list[str], None]:
        """The keys that begin with `prefix` and sort after `after` (byte order), in order, in pages.

        `prefix` ends with `/`, `after` is a whole key or empty. Who does not read to the end closes it.
        Raises: StoreUnavailable.
        """
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove the objects; one that is not there is no error. Raises: StoreUnavailable."""
        ...

    async def sweep(self, prefix: str, older_than_s: float) -> int:
        """Remove what writers that died left half-written under `prefix`; how many there were.

        Raises: StoreUnavailable.
        """
        ...

    async def free_bytes(self) -> int | None:
        """Room that is left, or None where the store has no such notion. Raises: StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Wait for what is under way and let go of threads and connections."""
        ...
