"""Entries as text that OpenLDAP's tools read (RFC 2849)."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from nightmail.directory.parts import Part, part_with
from nightmail.directory.tree import Item

_SAFE = re.compile(r"(?![ :<])[\x01-\x09\x0b\x0c\x0e-\x7f]*(?<! )")


def ldif_of(items: Iterable[Item]) -> str:
    """The entries one after the other, each followed by an empty line."""
    return "".join(f"{_record(item)}\n" for item in items)


def records_below(base: str, lines: Iterable[str], counts: Counter[bool]) -> Iterator[str]:
    """The lines of those entries of an LDIF file that are `base` or below it; it is counted how many are, and are not.

    Each line of the file is one line of a record: none is folded, as `ldif_of` writes them.
    """
    wanted, is_inside = [Part(base)], False
    for line in lines:
        name, _, value = line.rstrip("\n").partition(":")
        if name == "dn":
            dn = base64.b64decode(value[1:]).decode() if value.startswith(":") else value
            is_inside = part_with(wanted, dn.strip()) is not None
            counts[is_inside] += 1
        if is_inside:
            yield line


def _record(item: Item) -> str:
    lines = [_line("dn", item.dn)]
    lines.extend(_line(name, value) for name, values in item.attributes.items() for value in values)
    return "".join(lines)


def _line(name: str, value: str) -> str:
    if _SAFE.fullmatch(value):
        return f"{name}: {value}\n"
    return f"{name}:: {base64.b64encode(value.encode()).decode()}\n"
