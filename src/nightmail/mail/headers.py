"""Header fields: finding them, and writing them so that no value breaks out of its field (RFC 5322 §2.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

Buffer = bytes | bytearray | memoryview

HEADER_LIMIT_BYTES = 256 * 1024
_LINE_WIDTH = 78
_LINE_LIMIT_BYTES = 900

_BLANK_LINE = re.compile(rb"\r\n\r\n")
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)(?:\r\n|\Z)")


def header_end(message: Buffer) -> int:
    """Where the body begins: after the blank line, or where the message or HEADER_LIMIT_BYTES ends without one."""
    if message[:2] == b"\r\n":
        return 2
    found = _BLANK_LINE.search(message, 0, HEADER_LIMIT_BYTES)
    return found.end() if found else min(len(message), HEADER_LIMIT_BYTES)


def fields(message: Buffer) -> Iterator[tuple[str, bytes, int, int]]:
    """Name in lower case, raw value, start and end of each field of the header, up to the first line that is none."""
    position, end = 0, header_end(message)
    while (found := _FIELD.match(message, position, end)) is not None:
        yield found[1].decode("ascii").lower(), bytes(found[2]), found.start(), found.end()
        position = found.end()


def find_header(message: Buffer, name: str, limit: int = 998) -> str | None:
    """The value of the first field of that name on one line, printable and cut to `limit` characters, or None."""
    found = _named(name.lower()).search(message, 0, header_end(message))
    return printable(bytes(found[1][: 4 * limit]).decode("utf-8", "replace"), limit) if found else None


def printable(text: str, limit: int = 998) -> str:
    """`text` on one line, with a space for every character that does not show, cut to `limit` characters.

    What passed through here can't end a line, move a terminal's cursor or turn the reading direction.
    """
    text = text[: 4 * limit]
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def field(name: str, value: str, *, utf8: bool = False) -> bytes:
    """The line `name: value`, folded at spaces; never a line above 998 octets (RFC 5322 §2.1.1).

    Characters beyond ASCII become `?` unless `utf8` allows them (RFC 6532).
    """
    encoded = " ".join(printable(value).split()).encode("utf-8" if utf8 else "ascii", "replace")
    lines, line = [], f"{name}:".encode("ascii")
    for word in _short_words(encoded):
        if len(line) + 1 + len(word) > _LINE_WIDTH and not line.endswith(b":"):
            lines.append(line)
            line = b""
        line += b" " + word
    return b"\r\n".join([*lines, line, b""])


def _short_words(value: bytes) -> Iterator[bytes]:
    """The words of `value`, each broken where it would not fit into a line whatever the folding."""
    for word in value.split(b" "):
        for start in range(0, len(word) or 1, _LINE_LIMIT_BYTES):
            yield word[start : start + _LINE_LIMIT_BYTES]


@lru_cache(maxsize=64)
def _named(name: str) -> re.Pattern[bytes]:
    literal = re.escape(name.encode("ascii"))
    return re.compile(rb"(?:\A|\r\n)" + literal + rb"[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.IGNORECASE)
