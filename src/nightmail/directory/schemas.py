"""How entries are asked for and understood: what differs between our own schema and somebody else's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from nightmail.directory.known import filter_of
from nightmail.directory.names import any_of, equals
from nightmail.directory.tree import ATTRIBUTES, CHANGES_FILTER, Item


class Kind(NamedTuple):
    """Entries that have addresses: what they are called, the filter for them, and that for those with an address."""

    name: str
    everybody: str
    with_address: str


def kind_of(name: str, everybody: str, attributes: Iterable[str]) -> Kind:
    """Those that `everybody` matches, and have their addresses in one of the `attributes`."""
    return Kind(name, everybody, f"(&{any_of(*(f'({attribute}=*)' for attribute in attributes))}{everybody})")


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
    def kinds(self) -> tuple[Kind, ...]:
        """Whoever may have addresses; where some are seen, one with an address has to be, or these are hidden."""
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


def _of_classes(*names: str) -> str:
    return any_of(*(equals("objectClass", name) for name in names))


class OwnSchema:
    """Entries as nightmail writes them; a `Schema`."""

    attributes = (*ATTRIBUTES, "entryUUID")
    mail_filter = CHANGES_FILTER
    kinds = (
        kind_of(
            "people", _of_classes("inetLocalMailRecipient", "nmUnicodeRecipient"), ("mailLocalAddress", "nmAddress")
        ),
        kind_of("lists", _of_classes("nmMailList", "nisMailAlias"), ("cn", "nmAddress")),
    )
    member_filter = "(objectClass=*)"

    def filter_of(self, keys: Iterable[str]) -> str:
        """The filter for every entry that says something of one of these keys."""
        return filter_of(keys)

    def read(self, item: Item) -> Item:
        """The entry as it is."""
        return item


OWN = OwnSchema()
