"""The input of a session that was not used yet, and the command lines in it.

It never holds more than a line's worth of a command that has not ended: the rest of an overlong one is thrown away as
it comes. What else it holds is what its owner was given while it stood still.
"""

from __future__ import annotations

from enum import Enum

_CR = 13
_PATIENCE = 16
"""How many times the limit of a line is passed over in the hope of its end."""


class LineFault(Enum):
    """Why there is no command line to be had from input that should hold one."""

    TOO_LONG = "too long"
    ENDLESS = "too long to wait for its end"
    BARE_NEWLINE = "bare newline"


class Intake:
    """Bytes in the order in which they came."""

    def __init__(self, line_limit_bytes: int, *, bare_newlines_allowed: bool) -> None:
        self._data = b""
        self._position = 0
        self._line_limit_bytes = line_limit_bytes
        self._bare_newlines_allowed = bare_newlines_allowed
        self._is_overlong = False
        self._passed_over_bytes = 0

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

        TOO_LONG is told once for a line, as soon as it is known; the others are the end of all lines.
        """
        start = self._position
        end = self._data.find(b"\n", start)
        if end < 0:
            return self._incomplete()
        if self._is_overlong:
            return self._end_of_overlong(end)
        if end - start >= self._line_limit_bytes:  # the limit counts the <CRLF> (RFC 5321 §4.5.3.1.4)
            self._is_overlong = True
            return LineFault.TOO_LONG
        self._position = end + 1
        if end > start and self._data[end - 1] == _CR:
            return self._data[start : end - 1]
        return self._data[start:end] if self._bare_newlines_allowed else LineFault.BARE_NEWLINE

    def _incomplete(self) -> LineFault | None:
        if len(self) < self._line_limit_bytes:
            return None
        if not self._is_overlong:
            self._is_overlong = True
            return LineFault.TOO_LONG
        return self._pass_over(len(self._data) - 1)  # the last byte may be half of a <CRLF>

    def _end_of_overlong(self, end: int) -> bytes | LineFault | None:
        is_bare = self._data[end - 1] != _CR
        fault = self._pass_over(end)
        if fault is not None:
            return fault
        self._position = end + 1
        self._is_overlong, self._passed_over_bytes = False, 0
        return LineFault.BARE_NEWLINE if is_bare and not self._bare_newlines_allowed else self.line()

    def _pass_over(self, end: int) -> LineFault | None:
        self._passed_over_bytes += end - self._position
        self._position = end
        return LineFault.ENDLESS if self._passed_over_bytes > _PATIENCE * self._line_limit_bytes else None
