"""Entries as text that OpenLDAP's tools read (RFC 2849)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

from nightmail.directory.tree import Item

_SAFE = re.compile(r"(?![ :<])[\x01-\x09\x0b\x0c\x0e-\x7f]*(?<! )")


def ldif_of(items: Iterable[Item]) -> str:
    """The entries one after the other, each followed by an empty line."""
    return "".join(f"{_record(item)}\n" for item in items)


def _record(item: Item) -> str:
    lines = [_line("dn", item.dn)]
    lines.extend(_line(name, value) for name, values in item.attributes.items() for value in values)
    return "".join(lines)


def _line(name: str, value: str) -> str:
    if _SAFE.fullmatch(value):
        return f"{name}: {value}\n"
    return f"{name}:: {base64.b64encode(value.encode()).decode()}\n"
