"""Where routing comes from: six tables of entries, whether text files hold them or a directory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

NAMES = ("domains", "routes", "aliases", "mailboxes", "clients", "policies")


class Entry(NamedTuple):
    """One entry: its place, its key and its value as written, with continuation lines joined by a space.

    The place is `file:line`, or the name of a directory's entry.
    """

    place: str
    key: str
    value: str


class Source(Protocol):
    """Where the entries of the six tables come from: text files, or a directory's entries."""

    def entries(self, name: str) -> Iterator[Entry]:
        """The entries of the table `name`; each call goes through them anew.

        Raises:
            ConfigInvalid: they can't be read, or something among them is no entry.
        """
        ...

    def place(self, name: str) -> str:
        """Where the table `name` as a whole is."""
        ...

    def digest(self) -> str:
        """What tells one state of the tables from another."""
        ...

    def size_bytes(self) -> int:
        """About how much text it is."""
        ...
