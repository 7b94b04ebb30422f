"""A connection as a session uses it: writes that are known to have left, a deadline, an end that comes once.

The transport's buffer is kept at nothing: it is paused as soon as the kernel takes no more, so that "paused" and "the
buffer is not empty" are the same, and a large message never piles up in memory.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import cast

from nightmail.delivery.deadlines import Deadlines
from nightmail.net.outbox import Outbox
from nightmail.smtp.framing import Buffer

NEVER = float("inf")


class Wire:
    """The lower half of a session: everything about bytes and time, nothing about mail.

    With its upper half it is an `asyncio.Protocol` by its methods; an interpreted base class would cost it its fast
    attributes where it is compiled.
    """

    def __init__(self, deadlines: Deadlines, outbox: Outbox) -> None:
        self.deadline = NEVER
        self._deadlines = deadlines
        self._outbox = outbox
        self._out: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._is_over = False
        self._is_paused = False
        self._drained: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to watch the deadline."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)
        self._deadlines.watch(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, whoever brought it about."""
        if not self._is_over:
            self.hang_up()
            self.broken(_why(exc))

    def data_received(self, data: bytes) -> None:
        """The peer said something."""
        raise NotImplementedError

    def eof_received(self) -> bool:
        """The peer says no more: the transport is to be closed."""
        return False

    def pause_writing(self) -> None:
        """The kernel's buffer is full."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """The transport's buffer is empty again."""
        self._is_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    @property
    def is_over(self) -> bool:
        """Whether nothing can be sent or heard any more."""
        return self._is_over

    @property
    def is_drained(self) -> bool:
        """Whether all that was written has left this process."""
        return not self._is_paused

    def write(self, data: bytes) -> None:
        """Send with what others send in this turn of the loop; after the end this does nothing."""
        if not self._out:
            self._outbox.add(self)
        self._out.append(data)

    def write_now(self, pieces: Sequence[Buffer]) -> None:
        """Send all of them at once, behind what was written before; after the end this does nothing."""
        self._flush()
        if self._transport is not None and not self._is_over:
            self._transport.writelines(pieces)

    def write_out(self) -> None:
        """Send what waits for the end of the turn."""
        self._flush()

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and self._transport is not None and not self._is_over:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    async def drained(self) -> None:
        """Wait until all that was written has left this process."""
        while self._is_paused:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def allow(self, timeout_s: float, no_later_than: float = NEVER) -> None:
        """Give what comes next this much time."""
        self.deadline = min(self._deadlines.after(timeout_s), no_later_than)

    def hang_up(self) -> None:
        """End at once; what has not left yet is dropped. Nothing is told of it."""
        self._is_over = True
        self._deadlines.forget(self)
        if self._transport is not None:
            self._transport.abort()
        if self._drained is not None:
            self._drained.cancel()

    def broken(self, why: str) -> None:
        """The connection ended without our doing."""
        raise NotImplementedError

    def expired(self) -> None:
        """The deadline passed."""
        raise NotImplementedError


def _why(error: Exception | None) -> str:
    if error is None:
        return "closed by the peer"
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number else str(error) or type(error).__name__
