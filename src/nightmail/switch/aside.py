"""Large bodies: streamed into an object of their own while they are being received."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import google_crc32c
import structlog

from nightmail.errors import StoreUnavailable
from nightmail.journal.records import BodyPlace
from nightmail.store.protocol import BodyWriter, Buffer

log = structlog.get_logger()


class Nowhere:
    """A `BodyWriter` for the moment between two queues: it takes nothing."""

    async def write(self, data: Sequence[Buffer]) -> None:
        """Refuse. Raises: StoreUnavailable."""
        raise StoreUnavailable("no queue is open")

    async def commit(self) -> None:
        """Refuse. Raises: StoreUnavailable."""
        raise StoreUnavailable("no queue is open")

    async def abort(self) -> None:
        """Nothing is there to be forgotten."""


class Aside:
    """Writes what it is given, in order, and says when it has caught up.

    `on_caught_up` is called when everything handed over so far is written, or can't be; the sender of the data
    should pause until then, so that no more than one piece waits. `may_have_landed` is set once the object may be
    there under its key.
    """

    def __init__(self, writer: BodyWriter, key: str, on_caught_up: Callable[[], None]) -> None:
        self.key = key
        self.fault: StoreUnavailable | None = None
        self.may_have_landed = False
        self._writer = writer
        self._on_caught_up = on_caught_up
        self._waiting: list[bytes] = []
        self._crc = 0
        self._size_bytes = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def is_behind(self) -> bool:
        """Whether something handed over is not written yet."""
        return self._task is not None

    def write(self, pieces: list[bytes]) -> None:
        """Take the next pieces."""
        for piece in pieces:
            self._crc = google_crc32c.extend(self._crc, piece)
            self._size_bytes += len(piece)
        if self.fault is not None:
            return
        self._waiting += pieces
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._drain())

    async def finish(self) -> BodyPlace:
        """Make the object durable; where it is. Who cancels this is to `abort`. Raises: StoreUnavailable."""
        if self._task is not None:
            await self._task
        if self.fault is not None:
            await self._writer.abort()
            raise self.fault
        self.may_have_landed = True
        await self._writer.commit()
        return BodyPlace(self._size_bytes, self._crc, 0, self.key)

    async def abort(self) -> None:
        """Forget it; what is not written yet is given up."""
        self._waiting = []
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
            self._on_caught_up()
        await self._writer.abort()

    async def _drain(self) -> None:
        try:
            while self._waiting:
                pieces, self._waiting = self._waiting, []
                await self._writer.write(pieces)
        except StoreUnavailable as error:
            self.fault = error
        except Exception as error:  # else a body that lacks a piece could become durable
            log.exception("large body failed", key=self.key)
            self.fault = StoreUnavailable(f"{self.key}: {error!r}")
        self._waiting = []
        self._task = None
        self._on_caught_up()
