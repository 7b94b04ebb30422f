"""A message on its way out: dot-stuffed lines after DATA (RFC 5321 §4.5.2), or octets counted by BDAT (RFC 3030).

The message is given in its CRLF form, in pieces cut anywhere; one that lacks its last line end gets it.
"""

from __future__ import annotations

Buffer = bytes | bytearray | memoryview


class DotFraming:
    """Doubles the dot at the start of a line; a piece with nothing to double is passed on as it is."""

    def __init__(self) -> None:
        self._tail = b"\r\n"

    def frame(self, piece: Buffer) -> list[Buffer]:
        """What to send for the next piece of the message."""
        if not piece:
            return []
        octets = bytes(piece)
        tail, self._tail = self._tail, octets[-2:] if len(octets) > 1 else (self._tail + octets)[-2:]
        first = octets[:2]
        if b"\r\n." in octets:
            piece = octets.replace(b"\r\n.", b"\r\n..")
        if tail == b"\r\n" and first.startswith(b"."):
            return [b".", piece]
        if tail.endswith(b"\r") and first == b"\n.":
            return [b"\n.", piece[1:]]
        return [piece]

    def end(self) -> bytes:
        """The lone dot."""
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"


class ChunkFraming:
    """Puts a BDAT command before each piece."""

    def __init__(self) -> None:
        self._ends_line = True

    def frame(self, piece: Buffer) -> list[Buffer]:
        """What to send for the next piece of the message."""
        size_bytes = len(piece)
        if not size_bytes:
            return []
        self._ends_line = piece[-1] == 10
        return [b"BDAT %d\r\n" % size_bytes, piece]

    def end(self) -> bytes:
        """The last chunk."""
        return b"BDAT 0 LAST\r\n" if self._ends_line else b"BDAT 2 LAST\r\n\r\n"
