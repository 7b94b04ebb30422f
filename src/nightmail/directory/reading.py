"""LDIF as people write it (RFC 2849): entries to add, and changes to carry out."""

from __future__ import annotations

import io
import re
from typing import NamedTuple

import ldif

from nightmail.directory.sessions import text_of_values
from nightmail.directory.tree import Item
from nightmail.errors import ConfigInvalid

_CHANGE_TYPE = re.compile(r"^changetype:\s*(\S*)", re.MULTILINE)

Change = list[tuple[int, str, list[bytes] | None]]


class Records(NamedTuple):
    """What an LDIF file says: entries, and changes of entries by their names."""

    entries: list[Item]
    changes: list[tuple[str, Change]]


def read_ldif(text: str, file: str) -> Records:
    """The records of an LDIF text, all of them entries or all of them changes. Values at URLs are not fetched.

    Raises:
        ConfigInvalid: it is no LDIF, or says nothing.
    """
    parser = ldif.LDIFRecordList(io.StringIO(text))
    kinds = _CHANGE_TYPE.findall(text)
    if unknown := [kind for kind in kinds if kind != "modify"]:
        raise ConfigInvalid(file, f"changetype: {unknown[0]} is not carried out", "only changetype: modify is")
    try:
        if kinds:
            parser.parse_change_records()
        else:
            parser.parse_entry_records()
    except (ValueError, EOFError) as error:
        place = f"{file}:{parser.line_counter}"
        raise ConfigInvalid(place, f"this is not LDIF: {error}", "see ldif(5)") from error
    entries = [Item(name, text_of_values(_without_urls(values, name))) for name, values in parser.all_records]
    changes = [(name, list(change)) for name, change, _ in parser.all_modify_changes]
    if not entries and not changes:
        raise ConfigInvalid(file, "there is no entry in it", "an entry begins with a line dn: NAME")
    if parser.records_read != len(entries) + len(changes):
        raise ConfigInvalid(
            file, "a record changes nothing", "write add, replace or delete: ATTRIBUTE, or leave it out"
        )
    return Records(entries, changes)


def _without_urls(values: dict[str, list[bytes | None]], name: str) -> dict[str, list[bytes]]:
    found = {attribute: [value for value in each if value is not None] for attribute, each in values.items()}
    if any(len(each) < len(values[attribute]) for attribute, each in found.items()):
        raise ConfigInvalid(name, "a value is at a URL, which is not fetched", "write the value itself")
    return found
