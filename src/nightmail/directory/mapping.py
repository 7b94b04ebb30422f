"""People and lists as other schemas have them, in the words of our own.

Addresses are the values of some attributes. Active Directory writes the kind of an address before it, SMTP in capitals
for the main one: `SMTP:alice@example.com`, `smtp:a@example.com`, `X400:c=us;...`. Values that are no mail address say
nothing, since such a directory is not kept for us: they must not keep mail from the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from nightmail.directory.mapping_settings import MappingSettings
from nightmail.directory.names import all_of, any_of, equals, of_classes, with_one_of
from nightmail.directory.schemas import Addressed
from nightmail.directory.tree import Item
from nightmail.errors import ConfigInvalid
from nightmail.routing.names import parse_address

_WITH_KIND = frozenset(("proxyaddresses", "targetaddress"))
_UNIQUE_ID = re.compile(r"#'[01]*'B\Z")
_KEPT = ("objectClass", "entryUUID")


class ForeignSchema:
    """Entries as a mapping has them; a `Schema`. Whoever is of a list's class is a list."""

    def __init__(self, mapping: MappingSettings) -> None:
        self._people_addresses = mapping.people_addresses or ()
        self._forward = mapping.people_forward or ()
        self._list_classes = mapping.lists or ()
        self._list_addresses = mapping.lists_addresses or ()
        self._members = mapping.lists_members or ()
        self._member_addresses = mapping.lists_member_addresses or ()
        people = all_of(of_classes(*(mapping.people or ())), mapping.people_filter or "")
        kinds = {self._people_addresses: [people]}
        lists_with_one = ""
        if self._list_classes and self._list_addresses:
            lists = all_of(of_classes(*self._list_classes), mapping.lists_filter or "")
            lists_with_one = all_of(with_one_of(*self._list_addresses), lists)
            kinds.setdefault(self._list_addresses, []).append(lists)
        self.addressed = Addressed(people, all_of(with_one_of(*self._people_addresses), people), lists_with_one)
        self._kinds = {names: any_of(*who) for names, who in kinds.items()}
        self.mail_filter = self.member_filter = any_of(*self._kinds.values())
        names = (*self._people_addresses, *self._forward, *self._list_addresses, *self._members)
        self.attributes = tuple(dict.fromkeys((*_KEPT, *names, *self._member_addresses)))

    def filter_of(self, keys: Iterable[str]) -> str:
        """The filter for every person and list with one of these addresses.

        Each address comes before who may have it: servers that go from left to right have few entries left by then.
        """
        return any_of(*(all_of(_with_address(names, key), who) for key in keys for names, who in self._kinds.items()))

    def read(self, item: Item) -> Item:
        """A person as inetLocalMailRecipient, a list, and a person whose mail goes elsewhere, as nmMailList."""
        if any(item.is_a(name) for name in self._list_classes):
            targets = _addresses(item, self._member_addresses)
            members = tuple(_UNIQUE_ID.sub("", name) for name in item.values(*self._members))
            return _mapped(item, "nmMailList", _addresses(item, self._list_addresses), targets, members)
        addresses, targets = _addresses(item, self._people_addresses), _addresses(item, self._forward)
        elsewhere = tuple(target for target in targets if target.lower() not in map(str.lower, addresses))
        return _mapped(item, "nmMailList" if elsewhere else "inetLocalMailRecipient", addresses, elsewhere, ())


def _mapped(
    item: Item, object_class: str, addresses: tuple[str, ...], targets: tuple[str, ...], members: tuple[str, ...]
) -> Item:
    attributes = {
        "objectclass": (object_class,),
        "maillocaladdress": addresses,
        "nmtarget": targets,
        "member": members,
        "entryuuid": item.values("entryUUID"),
    }
    return Item(item.dn, {name: values for name, values in attributes.items() if values})


def _addresses(item: Item, names: Iterable[str]) -> tuple[str, ...]:
    """The addresses that these attributes have, a main one first."""
    is_main: dict[str, bool] = {}
    for name in names:
        for value in item.values(name):
            kind, address = _parts(name, value)
            if kind.lower() in ("", "smtp") and _is_address(address):
                is_main[address] = is_main.get(address, False) or kind == "SMTP"
    return tuple(sorted(is_main, key=lambda address: not is_main[address]))


def _parts(name: str, value: str) -> tuple[str, str]:
    """The kind of an address, where one stands before it, and the address."""
    kind, colon, address = value.partition(":")
    return (kind, address) if colon and name.lower() in _WITH_KIND else ("", value)


def _is_address(text: str) -> bool:
    try:
        parse_address(text, "")
    except ConfigInvalid:
        return False
    return True


def _with_address(names: Iterable[str], key: str) -> str:
    return any_of(*(equals(name, f"smtp:{key}" if name.lower() in _WITH_KIND else key) for name in names))
