r"""A message's body on its way in: its end found, its dots unstuffed, its line endings and its size checked.

`DotReader` reads what follows DATA, `ChunkReader` what follows BDAT. Both take the stream in any pieces and give the
same message for all of them. A message ends at <CRLF>.<CRLF> and at nothing else (RFC 5321 §4.1.1.4): `\n.\n` and its
kin are text, so that no other server's idea of an end can smuggle a second message past us. A bare CR or LF breaks the
message; it is still read to its real end, and only then refused.

A reader holds back at most the four bytes that may turn out to belong to the end of the data or to a stuffed dot.
"""

from __future__ import annotations

import re

from nightmail.mail.reply import Reply
from nightmail.smtp import replies
from nightmail.smtp.settings import SmtpSettings

_END = b"\r\n.\r\n"
_LINE_WITH_DOT = b"\r\n."
_UNDECIDED = re.compile(rb"(?:\r?\n(?:\.\r?)?|\r)\Z")
_RECEIVED = re.compile(rb"\r\nreceived[: \t]")
_RECEIVED_LENGTH = 11


class BodyReader:
    """Keeps the rules that every message has to keep, and the facts that its envelope will state."""

    def __init__(self, settings: SmtpSettings, *, bare_newlines_allowed: bool) -> None:
        self.size_bytes = 0
        self.received_count = 0
        self.eight_bit = False
        self.utf8_headers = False
        self._size_limit_bytes = settings.message_size_limit_bytes
        self._received_limit = settings.received_limit
        self._bare_newlines_allowed = bare_newlines_allowed
        self._bare_newline_seen = False
        self._header_tail: bytes | None = b"\r\n"

    @property
    def refusal(self) -> Reply | None:
        """The reply to a message that broke a rule; the same one however the stream was cut."""
        if self._bare_newline_seen:
            return replies.BARE_NEWLINE_BODY
        if self.size_bytes > self._size_limit_bytes:
            return replies.TOO_BIG
        if self.received_count > self._received_limit:
            return replies.LOOPING
        return None

    def _lines(self, raw: bytes) -> bytes:
        """`raw` with CRLF at the end of every line. It never begins or ends within a CRLF."""
        # Several times as fast as counting: whatever is bare does not survive the way there and back.
        if raw.replace(b"\n", b"").replace(b"\r", b"\r\n") == raw:
            return raw
        self._bare_newline_seen = not self._bare_newlines_allowed
        # What Postfix does for old clients: a bare LF ends a line, a bare CR is nothing but a blank.
        return raw.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\n", b"\r\n")

    def _take(self, piece: bytes) -> bytes:
        """`piece`, now part of the message; nothing of a message that broke a rule."""
        self.size_bytes += len(piece)
        if self._header_tail is not None:
            self._read_header(self._header_tail + piece)
        if not self.eight_bit:
            self.eight_bit = not piece.isascii()
        return piece if self.refusal is None else b""

    def _read_header(self, window: bytes) -> None:
        """Count in what is new; `window` begins with so much of the old as can't hold a whole match."""
        end = window.find(b"\r\n\r\n")
        header = window if end < 0 else window[: end + 2]
        self._header_tail = header[1 - _RECEIVED_LENGTH :] if end < 0 else None
        self.utf8_headers = self.utf8_headers or not header.isascii()
        self.received_count += len(_RECEIVED.findall(header.lower()))


class DotReader(BodyReader):
    """Reads the lines that follow DATA."""

    def __init__(self, settings: SmtpSettings, *, bare_newlines_allowed: bool = False) -> None:
        super().__init__(settings, bare_newlines_allowed=bare_newlines_allowed)
        self._held = b"\r\n"  # the line that DATA ended: a dot right after it is at the start of a line
        self._skip = 2
        self.rest: bytes | None = None

    def feed(self, data: bytes) -> bytes:
        """What is certain of the message after `data`; at its end `rest` is what follows it."""
        data = self._held + data
        dotted = data.find(_LINE_WITH_DOT)
        end = data.find(_END, dotted) if dotted >= 0 else -1
        if end >= 0:
            self.rest = data[end + 5 :]
            data = data[: end + 2]
        else:
            undecided = _UNDECIDED.search(data, max(0, len(data) - 4))
            cut = undecided.start() if undecided else len(data)
            self._held = data[cut:]
            data = data[:cut]
        if not data:
            return b""
        lines = self._lines(data)
        # Where the first line with a dot is the end there is none to unstuff, unless the lines were others before.
        if dotted != end or lines is not data:
            lines = lines.replace(b"\r\n.", b"\r\n")
        if self._skip:
            lines = lines[self._skip :]
            self._skip = 0
        return self._take(lines)


class ChunkReader(BodyReader):
    """Reads the octets that follow BDAT commands: no dots, but the same lines (RFC 3030 §2, without BINARYMIME)."""

    def __init__(self, settings: SmtpSettings, *, bare_newlines_allowed: bool = False) -> None:
        super().__init__(settings, bare_newlines_allowed=bare_newlines_allowed)
        self._held = b""
        self._ends_line = True

    def feed(self, data: bytes) -> bytes:
        """What is certain of the message after `data`."""
        data = self._held + data
        cut = len(data) - data.endswith(b"\r")
        self._held = data[cut:]
        return self._append(data[:cut])

    def finish(self) -> bytes:
        """What remains at the end: a message always ends with CRLF."""
        last = self._append(self._held)
        return last if self._ends_line else last + self._take(b"\r\n")

    def _append(self, data: bytes) -> bytes:
        lines = self._lines(data)
        if lines:
            self._ends_line = lines.endswith(b"\n")
        return self._take(lines)
