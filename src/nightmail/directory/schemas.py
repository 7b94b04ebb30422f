"""How entries are asked for and understood: what differs between our own schema and somebody else's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from nightmail.directory.known import filter_of
from nightmail.directory.names import all_of, of_classes, with_one_of
from nightmail.directory.tree import ATTRIBUTES, CHANGES_FILTER, Item


class Addressed(NamedTuple):
    """Filters for whoever may have addresses: people, those of them that have one, and lists that have one, if any."""

    people: str
    people_with_one: str
    lists_with_one: str


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
    def addressed(self) -> Addressed:
        """Whoever may have addresses: where people are seen, and an address of none, these are hidden from us."""
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


_PEOPLE = of_classes("inetLocalMailRecipient", "nmUnicodeRecipient")


class OwnSchema:
    """Entries as nightmail writes them; a `Schema`."""

    attributes = (*ATTRIBUTES, "entryUUID")
    mail_filter = CHANGES_FILTER
    addressed = Addressed(
        people=_PEOPLE,
        people_with_one=all_of(with_one_of("mailLocalAddress", "nmAddress"), _PEOPLE),
        lists_with_one=of_classes("nmMailList", "nisMailAlias"),
    )
    member_filter = "(objectClass=*)"

    def filter_of(self, keys: Iterable[str]) -> str:
        """The filter for every entry that says something of one of these keys."""
        return filter_of(keys)

    def read(self, item: Item) -> Item:
        """The entry as it is."""
        return item


OWN = OwnSchema()
