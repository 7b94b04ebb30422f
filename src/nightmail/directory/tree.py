"""What directory entries say, as lines of the tables, and how a line of a table is kept as an entry (R16).

The directory is not a second model: every entry is read as the lines that would say the same, and these are parsed and
checked as any others. Where a table has a file and a line, an entry has its distinguished name.

    ou=domains   nmMailDomain      nmDomain, nmKind or nmAliasOf
    ou=routes    nmMailRoute       nmMatch, nmNextHop
    ou=clients   nmMailClient      nmNetwork, nmAccess
    ou=policies  nmPolicy          cn, nmSetting (NAME=VALUE)
    ou=people    inetOrgPerson, inetLocalMailRecipient      mailLocalAddress, mailHost, mailRoutingAddress
    ou=lists     nisMailAlias      cn, rfc822MailMember
                 nmMailList        cn or mailLocalAddress, rfc822MailMember or member

A person's mailRoutingAddress replaces the address, mailHost says where the message goes: to the address unchanged if it
stands alone, to the one that replaced it if both are there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from nightmail.directory.names import any_of, escape_name, of_classes
from nightmail.errors import ConfigInvalid
from nightmail.routing.entries import parse_targets
from nightmail.routing.source import Entry

CONTAINERS = {
    "domains": "ou=domains",
    "routes": "ou=routes",
    "clients": "ou=clients",
    "mailboxes": "ou=people",
    "aliases": "ou=lists",
    "policies": "ou=policies",
}
"""Where the entries for a table are, below the suffix."""

_AROUND_COMMAS = re.compile(r"(?<!\\)\s*,\s*")

ATTRIBUTES = (
    "objectClass", "cn", "mail", "mailHost", "mailLocalAddress", "mailRoutingAddress", "member", "nmAccess",
    "nmAddress", "nmAliasOf", "nmDomain", "nmKind", "nmMatch", "nmNetwork", "nmNextHop", "nmSetting", "nmTarget",
    "nmVerify", "rfc822MailMember",
)  # fmt: skip
"""All that entries are asked for."""

Attributes = Mapping[str, tuple[str, ...]]


class Item(NamedTuple):
    """One entry of the directory: its distinguished name, and its values by the attributes' names in lower case."""

    dn: str
    attributes: Attributes

    def values(self, *names: str) -> tuple[str, ...]:
        """The values of these attributes, one after the other."""
        return tuple(value for name in names for value in self.attributes.get(name.lower(), ()))

    def value(self, name: str) -> str:
        """The first value of an attribute, or nothing."""
        return next(iter(self.values(name)), "")

    @property
    def classes(self) -> set[str]:
        """The object classes that the entry names, in lower case."""
        return {name.lower() for name in self.attributes.get("objectclass", ())}

    def is_a(self, object_class: str) -> bool:
        """Whether the entry is of this class."""
        return object_class.lower() in self.classes


def folded(item: Item) -> Item:
    """The same entry with the attributes' names in lower case, as entries are read here."""
    return item._replace(attributes={name.lower(): values for name, values in item.attributes.items()})


class Line(NamedTuple):
    """What an entry says, as a line of the table `table`."""

    table: str
    entry: Entry


def lines_of(item: Item) -> list[Line]:
    """The lines that would say in tables what an entry says; none for one that says nothing about mail.

    Raises:
        ConfigInvalid: the entry is none that can be understood.
    """
    classes = item.classes
    for object_class, read in _READERS_BY_CLASS.items():
        if object_class in classes:
            return [Line(table, Entry(item.dn, key, value)) for table, key, value in read(item)]
    return []


_Words = tuple[str, str, str]

_KINDS = ("local", "relay")
_DOMAIN_FORMS = "say nmKind: local, nmKind: relay, or nmAliasOf: OTHER-DOMAIN"


def _domain(item: Item) -> Iterator[_Words]:
    kind, target = item.value("nmKind"), item.value("nmAliasOf")
    if bool(kind) == bool(target):
        wrong = "it has both nmKind and nmAliasOf" if kind else "it has neither nmKind nor nmAliasOf"
        raise ConfigInvalid(item.dn, wrong, _DOMAIN_FORMS)
    value = f"alias {target}" if target else kind.lower()
    if kind and value not in _KINDS:
        raise ConfigInvalid(item.dn, f"nmKind: {kind} is no kind of domain", _DOMAIN_FORMS)
    verify = " verify" if item.value("nmVerify").upper() == "TRUE" else ""
    if verify and value != "relay":
        raise ConfigInvalid(item.dn, "nmVerify is for nmKind: relay alone", "take it out, or say nmKind: relay")
    yield "domains", item.value("nmDomain"), value + verify


def _route(item: Item) -> Iterator[_Words]:
    yield "routes", item.value("nmMatch"), item.value("nmNextHop")


def _client(item: Item) -> Iterator[_Words]:
    yield "clients", item.value("nmNetwork"), item.value("nmAccess").lower()


def _policy(item: Item) -> Iterator[_Words]:
    for setting in item.values("nmSetting"):
        name, _, value = setting.partition("=")
        yield "policies", name.strip(), value.strip()


def _person(item: Item) -> Iterator[_Words]:
    addresses = item.values("mailLocalAddress", "nmAddress") or item.values("mail")
    host, other = item.value("mailHost"), item.value("mailRoutingAddress")
    for address in addresses:
        yield ("aliases", address, other) if other else ("mailboxes", address, "")
    if host:
        for address in (other,) if other else addresses:
            yield "routes", address, f"smtp:{host}"


def _list(item: Item) -> Iterator[_Words]:
    targets = ", ".join(sorted({*item.values("rfc822MailMember", "nmTarget")}))
    for address in addresses_of_list(item):
        if targets:
            yield "aliases", address, targets


def addresses_of_list(item: Item) -> tuple[str, ...]:
    """The addresses under which a list is found; none for an entry that is no list, or has no address."""
    if not (item.is_a("nisMailAlias") or item.is_a("nmMailList")):
        return ()
    names = (name for name in item.values("cn") if "@" in name or name.lower() == "postmaster")
    return item.values("mailLocalAddress", "nmAddress") or tuple(names)


def address_of_member(item: Item) -> str:
    """The address at which a member of a list, named by its entry, gets what the list gets; empty where it has none."""
    return next(iter(item.values("mailLocalAddress", "nmAddress", "mail") or addresses_of_list(item)), "")


def with_members(item: Item, entries: Mapping[str, Item]) -> Item:
    """A list with the addresses of its members beside those that it names itself; `entries` by `folded_name`."""
    members = [entries[name] for name in map(folded_name, item.values("member")) if name in entries]
    addresses = [address for address in map(address_of_member, members) if address]
    if not addresses:
        return item
    return item._replace(attributes={**item.attributes, "nmtarget": (*item.values("nmTarget"), *addresses)})


def folded_name(name: str) -> str:
    """A distinguished name in the form in which it is compared here."""
    return _AROUND_COMMAS.sub(",", name).casefold()


_READERS: dict[str, Callable[[Item], Iterator[_Words]]] = {
    "nmMailDomain": _domain,
    "nmMailRoute": _route,
    "nmMailClient": _client,
    "nmPolicy": _policy,
    "nmMailList": _list,
    "nisMailAlias": _list,
    "inetLocalMailRecipient": _person,
    "nmUnicodeRecipient": _person,
}
_READERS_BY_CLASS = {name.lower(): read for name, read in _READERS.items()}


MAIL_FILTER = of_classes(*_READERS)
"""Entries that say something about mail."""

CHANGES_FILTER = any_of(MAIL_FILTER, "(mail=*)")
"""These, and whoever else may be the member of a list."""

_RULES = ("nmMailDomain", "nmMailRoute", "nmMailClient", "nmPolicy")
RULES_FILTER = of_classes(*_RULES)
"""Domains, routes, clients and policies."""

WHOLE_FILTER = any_of(RULES_FILTER, "(&(mailHost=*)(mailRoutingAddress=*))")
"""Entries that are held whole: all but addresses, and of these the ones that say where another address goes."""


def is_held_whole(item: Item) -> bool:
    """Whether `WHOLE_FILTER` matches an entry."""
    return is_rule(item) or bool(item.value("mailHost") and item.value("mailRoutingAddress"))


def is_rule(item: Item) -> bool:
    """Whether `RULES_FILTER` matches an entry."""
    return not item.classes.isdisjoint(map(str.lower, _RULES))


WHOLE_TABLES = ("domains", "routes", "clients", "policies")
"""The tables for which they have lines."""


def unit(name: str, base: str) -> Item:
    """The entry `ou=...` below `base` that holds others, such as those of a table."""
    return Item(f"{name},{base}", {"objectClass": ("organizationalUnit",), "ou": (name.removeprefix("ou="),)})


def item_of(table: str, key: str, value: str, suffix: str) -> Item:
    """The entry that says what a line of a table does, below `suffix`. The line has been checked already."""
    attribute, attributes = _WRITERS[table](key, value)
    (name,) = attributes[attribute]
    dn = f"{attribute}={escape_name(name)},{CONTAINERS[table]},{suffix}"
    return Item(dn, {attribute.lower(): values for attribute, values in attributes.items()})


_Written = tuple[str, dict[str, tuple[str, ...]]]


def _write_domain(key: str, value: str) -> _Written:
    kind, _, target = value.partition(" ")
    meaning = {"nmAliasOf": (target.strip(),)} if kind == "alias" else {"nmKind": (kind,)}
    if kind == "relay" and target:
        meaning["nmVerify"] = ("TRUE",)
    return "nmDomain", {"objectClass": ("nmMailDomain",), "nmDomain": (key,), **meaning}


def _write_route(key: str, value: str) -> _Written:
    return "nmMatch", {"objectClass": ("nmMailRoute",), "nmMatch": (key,), "nmNextHop": (value,)}


def _write_client(key: str, value: str) -> _Written:
    return "nmNetwork", {"objectClass": ("nmMailClient",), "nmNetwork": (key,), "nmAccess": (value,)}


def _write_policy(key: str, value: str) -> _Written:
    return "cn", {"objectClass": ("nmPolicy",), "cn": (key,), "nmSetting": (f"{key}={value}",)}


def _write_mailbox(key: str, value: str) -> _Written:
    own, attribute = ("inetLocalMailRecipient", "mailLocalAddress")
    if not key.isascii():
        own, attribute = ("nmUnicodeRecipient", "nmAddress")
    person = {"uid": (key,), "cn": (key,), "sn": (key.rpartition("@")[0],), attribute: (key,)}
    return "uid", {"objectClass": ("inetOrgPerson", own), **person}


def _write_alias(key: str, value: str) -> _Written:
    targets = parse_targets(value, key)
    if value.isascii():
        return "cn", {"objectClass": ("nisMailAlias",), "cn": (key,), "rfc822MailMember": targets}
    return "cn", {"objectClass": ("nmMailList",), "cn": (key,), "nmTarget": targets}


_WRITERS: dict[str, Callable[[str, str], _Written]] = {
    "domains": _write_domain,
    "routes": _write_route,
    "clients": _write_client,
    "policies": _write_policy,
    "mailboxes": _write_mailbox,
    "aliases": _write_alias,
}
