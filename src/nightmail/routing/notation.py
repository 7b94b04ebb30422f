"""How each of the six tables is written: what a key and a value are read as, and the normal text of both.

Two lines that mean the same have the same normal text. It is read back as what it was written for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from nightmail.queue.policies import check_policy, parse_number, parse_policy_name
from nightmail.routing.entries import (
    parse_alias_key,
    parse_client_key,
    parse_domain_entry,
    parse_domain_key,
    parse_mailbox,
    parse_nothing,
    parse_route_key,
    parse_rule,
    parse_targets,
)
from nightmail.routing.networks import parse_network
from nightmail.routing.route import Route, parse_route
from nightmail.routing.source import Entry

Read = Callable[[str, str], str]


def _any_value(_key: str, _value: str, _place: str) -> None:
    """Where no key has values of its own."""


class Notation(NamedTuple):
    """How the entries of one table are read. All take a text and its place, and raise ConfigInvalid where it is wrong.

    `parse_key` gives the key by which the entry is looked up, `parse_value` what the value means; it is given the
    directory as well from which relative paths start. `normal_key` and `normal_value` give the texts in their normal
    form. `check` sees that a key of this kind can have that value.
    """

    parse_key: Read
    parse_value: Callable[[str, str, str], object]
    normal_key: Read
    normal_value: Read
    check: Callable[[str, str, str], None] = _any_value

    def normal(self, entry: Entry) -> tuple[str, str]:
        """Key and value of an entry in their normal form.

        Raises:
            ConfigInvalid: one of them is wrong.
        """
        key, value = self.normal_key(entry.key, entry.place), self.normal_value(entry.value, entry.place)
        self.check(key, value, entry.place)
        return key, value


def _domain(value: str, place: str) -> str:
    entry = parse_domain_entry(value, place)
    if entry.kind == "alias":
        return f"alias {entry.target}"
    return "relay verify" if entry.verify else entry.kind


def _route(value: str, place: str) -> str:
    parse_route(value, place)
    return value


def _route_from(value: str, place: str, base: str) -> Route:
    return parse_route(value, place, base)


def _targets(value: str, place: str) -> str:
    return ", ".join(sorted(set(parse_targets(value, place))))


def _network(text: str, place: str) -> str:
    return str(parse_network(text, place))


def _nothing(value: str, place: str) -> str:
    parse_nothing(value, place)
    return ""


def _number(value: str, place: str) -> str:
    return str(parse_number(value, place))


def _anywhere(parse: Callable[[str, str], object]) -> Callable[[str, str, str], object]:
    """Read a value that has no paths in it."""
    return lambda value, place, _base: parse(value, place)


NOTATIONS: Mapping[str, Notation] = {
    "domains": Notation(parse_domain_key, _anywhere(parse_domain_entry), parse_domain_key, _domain),
    "routes": Notation(parse_route_key, _route_from, parse_route_key, _route),
    "aliases": Notation(parse_alias_key, _anywhere(parse_targets), parse_alias_key, _targets),
    "mailboxes": Notation(parse_mailbox, _anywhere(parse_nothing), parse_mailbox, _nothing),
    "clients": Notation(parse_client_key, _anywhere(parse_rule), _network, parse_rule),
    "policies": Notation(parse_policy_name, _anywhere(parse_number), parse_policy_name, _number, check=check_policy),
}
