"""SMTP replies (RFC 5321 §4.2) with their enhanced status codes (RFC 3463)."""

from __future__ import annotations

from functools import lru_cache

import msgspec

# What a line of 512 octets holds beside its code, its enhanced status and its end.
_LINE_LIMIT = 480


class Reply(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One reply: its code, its enhanced status, its text.

    `text` may hold several lines, separated by a line feed. `enhanced` is empty where a reply has none
    (greetings, EHLO, 354).
    """

    code: int
    enhanced: str
    text: str

    @property
    def is_positive(self) -> bool:
        """Whether the command was done (2yz) or is to be continued (3yz)."""
        return 200 <= self.code < 400

    @property
    def is_permanent(self) -> bool:
        """Whether repeating the command is pointless (5yz)."""
        return 500 <= self.code < 600

    def __str__(self) -> str:
        """The reply on one line, as logs and reports show it."""
        return _line(self)

    def encode(self) -> bytes:
        """The reply as it goes over the wire, one line for each line of its text.

        Whatever the text quotes, it ends no line but its own, and no line is above 512 octets (RFC 5321 §4.5.3.1.5).
        """
        return _wire(self)


@lru_cache(maxsize=256)
def _line(reply: Reply) -> str:
    """A peer says the same few things over and over."""
    words = (str(reply.code), reply.enhanced, " ".join(reply.text.split()))
    return " ".join(word for word in words if word)


@lru_cache(maxsize=256)
def _wire(reply: Reply) -> bytes:
    """A server says the same few things over and over."""
    code, text = reply.code, reply.text
    lead = f"{reply.enhanced} " if reply.enhanced else ""
    if len(text) <= _LINE_LIMIT and text.isprintable() and text.isascii():
        return f"{code} {lead}{text}\r\n".encode("ascii")
    lines = [piece for line in text.split("\n") for piece in _pieces(line)]
    last = len(lines) - 1
    wire = "".join(f"{code}{' ' if n == last else '-'}{lead}{line}\r\n" for n, line in enumerate(lines))
    return wire.encode("utf-8", "replace")


def _pieces(line: str) -> list[str]:
    """`line` without control characters, in pieces that fit into lines of the wire."""
    if not line.isprintable():
        line = "".join(character if character.isprintable() else " " for character in line).rstrip()
    limit = _LINE_LIMIT if line.isascii() else _LINE_LIMIT // 4
    return [line[start : start + limit] for start in range(0, len(line) or 1, limit)]
