"""A store in a directory: a local disk, a SAN, NFS, CephFS.

`put_new` writes a temporary file beside its final name, syncs it, links it to that name and syncs the directory.
link() has exactly one winner, never shows a file before its content, and exists on every file system that servers
share, which O_TMPFILE and RENAME_NOREPLACE do not.

What is deleted is not synced: after a power loss a deleted object may be back. Nobody minds: replay ignores what
lies below the floor, and a body that no record names is deleted again.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import suppress
from typing import TypeVar

from nightmail.errors import StoreUnavailable
from nightmail.store import listing
from nightmail.store.directories import Directories
from nightmail.store.disk import Disk
from nightmail.store.draft import TEMPORARY_PREFIX, Draft, not_created
from nightmail.store.keys import split_key, split_prefix
from nightmail.store.lanes import Lanes
from nightmail.store.protocol import Buffer, NotFound, Put, PutFailed
from nightmail.store.putting import Putter
from nightmail.world import Randomness

T = TypeVar("T")

_MAX_PUTS = 32
_MAX_OTHERS = 16
_TOKEN_BYTES = 12


class PosixStore:
    """Objects as files under a root directory.

    Puts and all other calls have threads of their own, so that neither waits for the other: up to 32 puts and 16
    other calls may hang before one more of its kind has to wait for them. A put never times out: one that has not
    returned may still land, and is not to be repeated (J3).
    """

    def __init__(self, root: str, randomness: Randomness, disk: Disk | None = None) -> None:
        self._root = os.path.normpath(root)
        self._token = randomness.token(_TOKEN_BYTES).hex()
        disk = disk or Disk()
        self._directories = Directories(self._root, disk)
        self._putter = Putter(self._directories, disk, self._token)
        self._puts = Lanes("store-put", _MAX_PUTS)
        self._others = Lanes("store", _MAX_OTHERS)

    async def put_new(self, key: str, data: Sequence[Buffer]) -> Put:
        """Create the object if there is none; see `Store.put_new`.

        Whoever is cancelled here knows nothing: the thread goes on, and with the buffers too.
        """
        directory, name = split_key(key)
        return await self._puts.call_in_steps(self._putter.put(directory, name, data))

    def put_body(self, key: str) -> PosixBodyWriter:
        """Begin a large object."""
        directory, name = split_key(key)
        return PosixBodyWriter(self._others, lambda: self._putter.draft(directory), name)

    async def get_range(self, key: str, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`. Raises: NotFound, StoreUnavailable."""
        split_key(key)
        return await self._others.call(self._guard, self._read, key, offset, size)

    async def get_heads(self, keys: Sequence[str], size: int) -> list[bytes | None]:
        """The first `size` bytes of each, None for what is not there. Raises: StoreUnavailable."""
        for key in keys:
            split_key(key)
        return await self._others.call(self._guard, self._read_heads, list(keys), size)

    async def list_after(self, prefix: str, after: str) -> AsyncGenerator[list[str], None]:
        """The keys under `prefix` after `after`, in order, a thousand at a time. Raises: StoreUnavailable."""
        split_prefix(prefix)
        pages = listing.pages(self._root, prefix, after)
        while page := await self._others.call(self._guard, self._next_page, pages):
            yield page

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove the objects; one that is not there is no error. Raises: StoreUnavailable."""
        for key in keys:
            split_key(key)
        await self._others.call(self._guard, self._unlink, list(keys))

    async def free_bytes(self) -> int | None:
        """Room for this user on the file system. Raises: StoreUnavailable."""
        return await self._others.call(self._guard, self._room)

    async def sweep(self, prefix: str, older_than_s: float) -> int:
        """Remove the temporaries that dead writers left under `prefix`; how many there were.

        Age is told by the file system's own clock. A living writer whose temporary is taken fails its put, no more.
        Raises: StoreUnavailable.
        """
        directory = split_prefix(prefix)
        return await self._others.call(self._guard, self._remove_temporaries, directory, older_than_s)

    async def close(self) -> None:
        """Wait for what is under way, then let go of threads and directories."""
        await asyncio.gather(self._puts.close(), self._others.close())
        self._directories.close()

    def _guard(self, function: Callable[..., T], *arguments: object) -> T:
        """Tell a store that can't be reached from one that lacks the object."""
        try:
            return function(*arguments)
        except OSError as error:
            raise StoreUnavailable(f"{self._root}: {error}") from error

    def _read(self, key: str, offset: int, size: int) -> bytes:
        # No descriptor is kept for the next read: a key that was deleted and put again must show what is there now.
        try:
            descriptor = os.open(f"{self._root}/{key}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._directories.check_root()
            raise NotFound(key) from None
        try:
            return _read_whole(descriptor, offset, size)
        finally:
            os.close(descriptor)

    def _read_heads(self, keys: list[str], size: int) -> list[bytes | None]:
        heads: list[bytes | None] = []
        for key in keys:
            try:
                heads.append(self._read(key, 0, size))
            except NotFound:
                heads.append(None)
        return heads

    def _next_page(self, pages: Generator[list[str], None, None]) -> list[str]:
        page = next(pages, [])
        self._directories.check_root()
        return page

    def _unlink(self, keys: list[str]) -> None:
        for key in keys:
            with suppress(FileNotFoundError):
                os.unlink(f"{self._root}/{key}")

    def _room(self) -> int:
        room = os.fstatvfs(self._directories.open("").descriptor)
        return room.f_bavail * room.f_frsize

    def _remove_temporaries(self, directory: str, older_than_s: float) -> int:
        top = os.path.join(self._root, directory)
        if not os.path.isdir(top):
            return 0
        now_s = self._file_time(directory)
        removed = 0
        for path, _, names in os.walk(top):
            for name in names:
                if name.startswith(TEMPORARY_PREFIX):
                    with suppress(FileNotFoundError):
                        file = os.path.join(path, name)
                        if now_s - os.stat(file).st_mtime >= older_than_s:
                            os.unlink(file)
                            removed += 1
        return removed

    def _file_time(self, directory: str) -> float:
        draft = self._putter.draft(directory)
        try:
            return draft.modified_at_s()
        finally:
            draft.discard()


class PosixBodyWriter:
    """A temporary file that grows until it is committed."""

    def __init__(self, lanes: Lanes, begin: Callable[[], Draft], name: str) -> None:
        self._lanes = lanes
        self._begin = begin
        self._name = name
        self._draft: Draft | None = None
        self._ended = False
        self._lock = threading.Lock()  # abort may come while a cancelled write goes on in its thread

    async def write(self, data: Sequence[Buffer]) -> None:
        """Append. Raises: StoreUnavailable."""
        await self._lanes.call(self._write, data)

    async def commit(self) -> None:
        """Make the whole object durable and visible. Raises: StoreUnavailable; nothing is left to abort then."""
        await self._lanes.call_in_steps(self._commit())

    async def abort(self) -> None:
        """Forget it; nothing of it becomes visible. Never raises."""
        await self._lanes.call(self._discard)

    def _write(self, data: Sequence[Buffer]) -> None:
        with self._lock:
            try:
                self._opened().write(data)
            except OSError as error:
                self._close()  # so that no commit can publish what is only a part
                raise not_created(f"{self._name}: write", error) from error

    def _commit(self) -> Generator[None, None, None]:
        with self._lock:
            try:
                if self._opened().publish(self._name) is Put.EXISTS:
                    raise PutFailed(f"{self._name}: there is such an object already")
                self._ended = True
                yield
            finally:
                self._close()

    def _discard(self) -> None:
        with self._lock:
            self._close()

    def _opened(self) -> Draft:
        if self._ended:
            raise PutFailed(f"{self._name}: was committed or aborted before")
        if self._draft is None:
            self._draft = self._begin()
        return self._draft

    def _close(self) -> None:
        self._ended = True
        if self._draft is not None:
            self._draft.discard()
            self._draft = None


def _read_whole(descriptor: int, offset: int, size: int) -> bytes:
    size = min(size, max(0, os.fstat(descriptor).st_size - offset))
    data = os.pread(descriptor, size, offset)
    while len(data) < size and (more := os.pread(descriptor, size - len(data), offset + len(data))):
        data += more
    return data
