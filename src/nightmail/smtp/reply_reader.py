"""Replies as a peer sends them, read within bounds (RFC 5321 §4.2).

Their text ends up in logs, reports and replies of ours: it is freed of control characters here, once.
"""

from __future__ import annotations

import re
from functools import lru_cache

from nightmail.errors import ProtocolViolation
from nightmail.mail.reply import Reply

LINE_LIMIT_BYTES = 4096
"""Eight times what RFC 5321 §4.5.3.1.5 allows."""
REPLY_LIMIT_BYTES = 64 * 1024
"""All lines of one reply."""

_LINE = re.compile(r"([2-5][0-9]{2})(?:([ -])(?:([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$))?(.*))?", re.DOTALL)


class ReplyReader:
    """Takes a peer's stream in any pieces and gives its replies one by one."""

    def __init__(self) -> None:
        self._data = b""
        self._position = 0
        self._lines: list[Reply] = []
        self._size_bytes = 0

    @property
    def buffered_bytes(self) -> int:
        """How much of an unfinished reply is kept."""
        return len(self._data) - self._position + self._size_bytes

    def add(self, data: bytes) -> None:
        """Keep what came. `next` is to be called until it gives None before there is more to add."""
        rest = self._data[self._position :]
        self._data = rest + data if rest else data
        self._position = 0

    def next(self) -> Reply | None:
        """The next reply, None if it is not complete. Bare line feeds are taken for line ends, as some peers send them.

        Raises:
            ProtocolViolation: it is no reply, or one too long.
        """
        while True:
            start = self._position
            end = self._data.find(b"\n", start)
            if (end if end >= 0 else len(self._data)) - start > LINE_LIMIT_BYTES:
                raise ProtocolViolation("a reply line without end")
            if end < 0:
                return None
            self._position = end + 1
            reply, is_last = _parse_line(self._data[start:end])
            if is_last and not self._lines:
                return reply
            self._collect(reply, end - start)
            if is_last:
                return self._joined()

    def _collect(self, line: Reply, size_bytes: int) -> None:
        if self._lines and self._lines[0].code != line.code:
            raise ProtocolViolation(f"a reply that changes its code from {self._lines[0].code} to {line.code}")
        self._lines.append(line)
        self._size_bytes += size_bytes
        if self._size_bytes > REPLY_LIMIT_BYTES:
            raise ProtocolViolation("a reply without end")

    def _joined(self) -> Reply:
        lines, self._lines, self._size_bytes = self._lines, [], 0
        return Reply(lines[0].code, lines[0].enhanced, "\n".join(line.text for line in lines))


@lru_cache(maxsize=512)
def _parse_line(line: bytes) -> tuple[Reply, bool]:
    """One line and whether it is the last; peers say the same few things over and over."""
    match = _LINE.fullmatch(line.removesuffix(b"\r").decode("utf-8", "replace"))
    if match is None:
        raise ProtocolViolation(f"no reply: {line[:80]!r}")
    code, mark, enhanced, text = match.groups("")
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    if enhanced and enhanced[0] != code[0]:  # RFC 2034 §4: not a status code then, whatever it is
        enhanced, text = "", f"{enhanced} {text}"
    return Reply(int(code), enhanced, text), mark != "-"
