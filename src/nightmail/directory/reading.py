"""LDIF as people write it (RFC 2849): entries to add, and changes to carry out."""

from __future__ import annotations

import io
import re
from typing import NamedTuple

import ldif

from nightmail.directory.sessions import text_of_values
from nightmail.directory.tree import Item
from nightmail.errors import ConfigInvalid

_LINE = re.compile(r"^Line [0-9]+: ")
_CHANGES = ("add", "delete", "replace", "increment")
_CHANGE_TYPE = re.compile(r"^changetype:[ \t]*(\S*)", re.MULTILINE)
_ADDS = re.compile(r"^changetype:[ \t]*add[ \t]*$", re.MULTILINE)
_OTHERS = {"delete": "`nightmail directory delete NAME` deletes entries"}

Change = list[tuple[int, str, list[bytes] | None]]


class Records(NamedTuple):
    """What an LDIF file says: entries, and changes of entries by their names."""

    entries: list[Item]
    changes: list[tuple[str, Change]]


class _Records(ldif.LDIFRecordList):  # type: ignore[misc]  # the library has no types
    """Knows the number of the line that it reads. The library's own count is of lines that it has looked at ahead.

    In a change, values of another attribute than the one that is changed are refused. The library would pass over them,
    and have the attribute lose all its values.
    """

    line = 0
    attribute = ""

    def _unfold_lines(self) -> str:
        self.line = self.line_counter
        text = str(super()._unfold_lines())
        if text.startswith("#"):
            return text
        name, colon, value = text.partition(":")
        if not colon or not self.attribute:
            self.attribute = value.strip() if name in _CHANGES else ""
            return text
        if name.lower() != self.attribute.lower():
            raise ValueError(f"{name} stands where a value of {self.attribute} is expected, or a line with '-' alone")
        return f"{self.attribute}:{value}"  # in the same case, by which the library knows it


def read_ldif(text: str, file: str) -> Records:
    """The records of an LDIF text, all of them entries or all of them changes. Values at URLs are not fetched.

    An entry says that it is to be added, or says nothing (RFC 2849).

    Raises:
        ConfigInvalid: it is no LDIF, or says nothing.
    """
    text, additions = _ADDS.subn("# an entry", text)  # so that lines keep their numbers
    parser = _Records(io.StringIO(text))
    kinds = _CHANGE_TYPE.findall(text)
    if unknown := [kind for kind in kinds if kind != "modify"]:
        right = _OTHERS.get(unknown[0], "changetype: add and changetype: modify are")
        raise ConfigInvalid(file, f"changetype: {unknown[0]} is not carried out", right)
    if kinds and additions:
        right = "put them into two files, for `nightmail directory add` and `nightmail directory modify`"
        raise ConfigInvalid(file, "it has entries to add and changes of others", right)
    try:
        if kinds:
            parser.parse_change_records()
        else:
            parser.parse_entry_records()
    except (ValueError, EOFError) as error:
        wrong = f"this is not LDIF: {_LINE.sub('', str(error))}"
        raise ConfigInvalid(f"{file}:{parser.line}", wrong, "see ldif(5)") from error
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
