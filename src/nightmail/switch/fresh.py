"""Bodies that are still in memory: between acceptance and the first attempt nothing needs to be read back."""

from __future__ import annotations


class FreshBody:
    """A body as it was received, Received header included."""

    __slots__ = ("in_memory", "size_bytes")

    def __init__(self, data: bytes) -> None:
        self.size_bytes = len(data)
        self.in_memory: memoryview | None = memoryview(data)

    async def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`."""
        if self.in_memory is None:
            raise RuntimeError("a fresh body is in memory")
        return bytes(self.in_memory[offset : offset + size])


class FreshAllowance:
    """How many bytes of fresh bodies may wait in memory; above that they are read back from the log."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._used_bytes = 0

    def take(self, size_bytes: int) -> bool:
        """Whether so many more bytes may be kept; they are counted if so."""
        if self._used_bytes + size_bytes > self._limit_bytes:
            return False
        self._used_bytes += size_bytes
        return True

    def give_back(self, size_bytes: int) -> None:
        """So many bytes are not kept any more."""
        self._used_bytes -= size_bytes
