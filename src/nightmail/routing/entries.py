"""What the key and the value of an entry mean, in each of five tables; and what would be right where they don't.

`place` says where an entry stands: a line of a table, or the name of a directory entry.
"""

from __future__ import annotations

import re

from nightmail.errors import ConfigInvalid
from nightmail.mail.address import split
from nightmail.routing.model import ClientRule, Domain
from nightmail.routing.names import mailbox_key, parse_address, parse_domain
from nightmail.routing.networks import network_key, parse_network

_DOMAIN_FORMS = "write local, relay, relay verify or alias OTHER-DOMAIN"
_RULES: dict[str, ClientRule] = {"relay": "relay", "submit": "submit", "deny": "deny"}
# Addresses are separated by commas, white space or both; a quoted local part may hold either.
_TARGET = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s,"])+|"')
_MAILBOX_POSTMASTER = "postmaster"


def parse_domain_key(text: str, place: str) -> str:
    """A domain, or `.parent` for every domain below it.

    Raises:
        ConfigInvalid: it is neither.
    """
    if text == "*":
        raise ConfigInvalid(
            place, "'*' would make every domain ours, and this an open relay", "name the domains one by one"
        )
    return "." + parse_domain(text[1:], place) if text.startswith(".") else parse_domain(text, place)


def parse_domain_entry(value: str, place: str) -> Domain:
    """What the value of an entry in `domains` makes of its domain.

    Raises:
        ConfigInvalid: nothing.
    """
    match value.split():
        case ["local"]:
            return Domain("local")
        case ["relay"]:
            return Domain("relay")
        case ["relay", "verify"]:
            return Domain("relay", verify=True)
        case ["alias", other]:
            return Domain("alias", parse_domain(other, place))
    if not value:
        raise ConfigInvalid(place, "the domain's kind is missing", _DOMAIN_FORMS)
    raise ConfigInvalid(place, f"{value!r} is no kind of domain", _DOMAIN_FORMS + _on_comments(value))


def parse_route_key(text: str, place: str) -> str:
    """An address, a domain, `.parent` or `*`.

    Raises:
        ConfigInvalid: it is none of these.
    """
    if text == "*":
        return text
    if text.startswith("@"):
        raise ConfigInvalid(place, f"{text!r} is not a key of routes", f"write {text[1:]} for the whole domain")
    return parse_mailbox(text, place) if "@" in text else parse_domain_key(text, place)


def parse_alias_key(text: str, place: str) -> str:
    """An address, `@domain`, or `postmaster`.

    Raises:
        ConfigInvalid: it is none of these.
    """
    if text.lower() == _MAILBOX_POSTMASTER:
        return _MAILBOX_POSTMASTER
    return "@" + parse_domain(text[1:], place) if text.startswith("@") else parse_mailbox(text, place)


def parse_mailbox(text: str, place: str) -> str:
    """An address, as a key.

    Raises:
        ConfigInvalid: it is none.
    """
    local_part, domain = split(parse_address(text, place))
    return f"{mailbox_key(local_part)}@{domain}"


def parse_targets(value: str, place: str) -> tuple[str, ...]:
    """The addresses that an alias stands for.

    Raises:
        ConfigInvalid: there are none, or one is no address.
    """
    if not value:
        raise ConfigInvalid(place, "the alias stands for nothing", "write one or more addresses after it")
    return tuple(_parse_target(text, place) for text in _TARGET.findall(value))


def _parse_target(text: str, place: str) -> str:
    if text.startswith(("|", "/", ":", '"|', '"/')):
        wrong = f"{text!r} is not an address"
        raise ConfigInvalid(place, wrong, "commands, files and includes can't be targets: write addresses, or a route")
    if text.startswith("#"):
        raise ConfigInvalid(
            place, "a comment stands after an entry", "give it a line of its own, from the first column"
        )
    if text.startswith("@"):
        right = f"write alias {text[1:]} in domains, if the whole domain is to have another name"
        raise ConfigInvalid(place, f"{text!r} is not an address", right)
    return parse_address(text, place)


def parse_client_key(text: str, place: str) -> str:
    """A network or a single address, as a key.

    Raises:
        ConfigInvalid: it is neither.
    """
    return network_key(parse_network(text, place))


def parse_rule(value: str, place: str) -> ClientRule:
    """What the clients in a network may do.

    Raises:
        ConfigInvalid: there is no such rule.
    """
    rule = _RULES.get(value)
    if rule is None:
        wrong = f"{value!r} is no rule for clients" if value else "the rule for these clients is missing"
        raise ConfigInvalid(place, wrong, "write relay, submit or deny" + _on_comments(value))
    return rule


def parse_nothing(value: str, place: str) -> bool:
    """True: a key is all that there is to say.

    Raises:
        ConfigInvalid: there is a value.
    """
    if value:
        raise ConfigInvalid(
            place, f"{value!r} stands after the address", "mailboxes has one address on each line, alone"
        )
    return True


def _on_comments(value: str) -> str:
    return ", and a comment on a line of its own" if "#" in value else ""
