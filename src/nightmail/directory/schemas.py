"""How entries are asked for and understood: what differs between our own schema and somebody else's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from nightmail.directory.known import filter_of
from nightmail.directory.tree import ATTRIBUTES, CHANGES_FILTER, Item


class Schema(Protocol):
    """What a directory is asked, and what its entries say in the words of our own schema."""

    @property
    def attributes(self) -> tuple[str, ...]:
        """All that entries are asked for."""
        ...

    @property
    def mail_filter(self) -> str:
        """The filter for every entry that says something of an address, or may be the member of a list."""
        ...

    @property
    def member_filter(self) -> str:
        """The filter for whom a list may name as its member."""
        ...

    def filter_of(self, keys: Iterable[str]) -> str:
        """The filter for every entry that says something of one of these keys."""
        ...

    def read(self, item: Item) -> Item:
        """The entry in the words of our own schema."""
        ...


class OwnSchema:
    """Entries as nightmail writes them; a `Schema`."""

    attributes = (*ATTRIBUTES, "entryUUID")
    mail_filter = CHANGES_FILTER
    member_filter = "(objectClass=*)"

    def filter_of(self, keys: Iterable[str]) -> str:
        """The filter for every entry that says something of one of these keys."""
        return filter_of(keys)

    def read(self, item: Item) -> Item:
        """The entry as it is."""
        return item


OWN = OwnSchema()
