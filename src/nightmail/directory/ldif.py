"""Entries as text that OpenLDAP's tools read (RFC 2849)."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterable, Iterator

from nightmail.directory.tree import Item

_SAFE = re.compile(r"(?![ :<])[\x01-\x09\x0b\x0c\x0e-\x7f]*(?<! )")

_BETWEEN = "\n\n"
_COUNT_MAX = 0xFFFFFF


def ldif_of(items: Iterable[Item]) -> str:
    """The entries one after the other, each followed by an empty line."""
    return "".join(f"{_record(item)}\n" for item in items)


def numbered(pieces: Iterable[str], replica: int, now: float) -> Iterator[str]:
    """The records of a new directory with the numbers of their changes (entryCSN), made by the replica of that number.

    The first record also says how far all of it goes (contextCSN). So that this is known before the last one has come,
    it has the highest number, and the others count downwards from there.
    """
    stamp = time.strftime("%Y%m%d%H%M%S.000000Z", time.gmtime(now))
    left = _COUNT_MAX
    for piece in pieces:
        for record in piece.split(_BETWEEN)[:-1]:
            csn = f"{stamp}#{left:06x}#{replica:03x}#000000"
            state = _line("contextCSN", csn) if left == _COUNT_MAX else ""
            yield f"{record}\n{_line('entryCSN', csn)}{state}\n"
            left -= 1


def _record(item: Item) -> str:
    lines = [_line("dn", item.dn)]
    lines.extend(_line(name, value) for name, values in item.attributes.items() for value in values)
    return "".join(lines)


def _line(name: str, value: str) -> str:
    if _SAFE.fullmatch(value):
        return f"{name}: {value}\n"
    return f"{name}:: {base64.b64encode(value.encode()).decode()}\n"
