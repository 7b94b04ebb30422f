"""The input of a session that was not used yet, and the command lines in it.

It never holds more than a line's worth of a command that has not ended: the rest of an overlong one is thrown away as
it comes. What else it holds is what its owner was given while it stood still.
"""

from __future__ import annotations

from enum import Enum

_CR = 13


class LineFault(Enum):
    """Why there is no command line to be had from input that should hold one."""

    TOO_LONG = "too long"
    MORE_TOO_LONG = "more of a line that was too long"
    BARE_NEWLINE = "bare newline"


class Intake:
    """Bytes in the order in which they came."""

    def __init__(self, line_limit_bytes: int, *, bare_newlines_allowed: bool) -> None:
        self._data = b""
        self._position = 0
        self._line_limit_bytes = line_limit_bytes
        self._bare_newlines_allowed = bare_newlines_allowed
        self._overlong = False

    def __len__(self) -> int:
        return len(self._data) - self._position

    def add(self, data: bytes) -> None:
        """Keep what came."""
        if self._position < len(self._data):
            data = self._data[self._position :] + data
        self._data = bytes(data)
        self._position = 0

    def take(self, limit_bytes: int | None = None) -> bytes:
        """The next bytes, at most so many."""
        start = self._position
        if limit_bytes is None or start + limit_bytes >= len(self._data):
            taken, self._data, self._position = self._data[start:], b"", 0
            return taken
        self._position = start + limit_bytes
        return self._data[start : self._position]

    def line(self) -> bytes | LineFault | None:
        """The next line without its end, what is wrong with it, or None if it is not complete.

        A fault uses up the line it is about. TOO_LONG is told once, as soon as it is known; MORE_TOO_LONG each time
        as much again has come.
        """
        data, start = self._data, self._position
        end = data.find(b"\n", start)
        if end < 0:
            return self._incomplete()
        self._position = end + 1
        is_bare = end == start or data[end - 1] != _CR
        stop = end if is_bare else end - 1
        if is_bare and not self._bare_newlines_allowed:
            return LineFault.BARE_NEWLINE
        if self._overlong:
            self._overlong = False
            return self.line()
        if stop - start > self._line_limit_bytes - 2:  # the limit counts the <CRLF> (RFC 5321 §4.5.3.1.4)
            return LineFault.TOO_LONG
        return data[start:stop]

    def _incomplete(self) -> LineFault | None:
        if len(self) <= self._line_limit_bytes:
            return None
        fault = LineFault.MORE_TOO_LONG if self._overlong else LineFault.TOO_LONG
        self._overlong = True
        self._position = len(self._data) - 1  # its last byte may be half of a <CRLF>
        return fault
