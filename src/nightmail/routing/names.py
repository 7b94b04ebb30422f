"""Names as tables write them: domains and addresses, checked and brought into the one form in which they are compared.

Looking something up folds a name that a client sent and judges nothing; reading a table also refuses what can't be a
name, and says what would be right.
"""

from __future__ import annotations

import re

from nightmail.errors import ConfigInvalid
from nightmail.mail.address import fold_domain, split

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ATOMS = r"[^\s@,\"()<>\[\]:;\\\x00-\x1f\x7f]+"
_QUOTED = r"\"(?:[^\"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*\""
_LOCAL_PART = re.compile(rf"{_ATOMS}|{_QUOTED}")
_PLAIN = re.compile(_ATOMS)
_BACKSLASHED = re.compile(r"\\(.)", re.DOTALL)

_MAX_LOCAL_PART_OCTETS = 64
_MAX_DOMAIN_OCTETS = 253


def unquote(local_part: str) -> str:
    """The local part as its mailbox is called: `"alice"` and `alice` are the same one (RFC 5321 §4.1.2)."""
    if not local_part.startswith('"'):
        return local_part
    return _BACKSLASHED.sub(r"\1", local_part[1:-1])


def mailbox_key(local_part: str) -> str:
    """The local part in the form in which it is compared: lower case, and without quotes that it doesn't need."""
    if local_part.startswith('"'):
        bare = unquote(local_part)
        local_part = bare if _PLAIN.fullmatch(bare) else local_part
    return local_part.lower()


def address_key(address: str) -> str:
    """The address in the form in which tables and snapshots compare it.

    Raises:
        ValueError: its domain can't be a domain name.
    """
    local_part, domain = split(address)
    return f"{mailbox_key(local_part)}@{fold_domain(domain)}" if domain else mailbox_key(local_part)


def parents(domain: str) -> list[str]:
    """The keys that match `domain` as a subdomain of theirs, the nearest first: `.b.org` and `.org` for `a.b.org`."""
    labels = domain.split(".")
    return ["." + ".".join(labels[n:]) for n in range(1, len(labels))]


def parse_domain(text: str, place: str) -> str:
    """The domain that `text` names, folded.

    Raises:
        ConfigInvalid: it is no domain name.
    """
    try:
        domain = fold_domain(text)
    except ValueError as error:
        raise ConfigInvalid(place, str(error), "write it as in example.org") from error
    if len(domain) > _MAX_DOMAIN_OCTETS or not _DOMAIN.fullmatch(domain):
        raise ConfigInvalid(place, f"{text!r} is not a domain name", "a domain name looks like example.org")
    return domain


def parse_address(text: str, place: str) -> str:
    """The address that `text` gives: its local part as written, its domain folded.

    Raises:
        ConfigInvalid: it is no address.
    """
    local_part, domain = split(text)
    if not domain or not _LOCAL_PART.fullmatch(local_part):
        raise ConfigInvalid(place, f"{text!r} is not an address", "an address looks like alice@example.org")
    if len(local_part.encode()) > _MAX_LOCAL_PART_OCTETS:
        raise ConfigInvalid(place, f"the local part of {text!r} has more than 64 octets", "RFC 5321 allows 64")
    return f"{local_part}@{parse_domain(domain, place)}"
