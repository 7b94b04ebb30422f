"""Who may use a replica, and by which secrets: all of them come from the one that the servers share.

Nothing is handed out or stored that every server could not work out by itself, and a new server needs one file.
"""

from __future__ import annotations

import base64
import hashlib

import msgspec

from nightmail.directory.parts import Part
from nightmail.directory.tree import CONTAINERS, Item, unit

_OBJECT_CLASSES = {"dc": ("dcObject", "organization"), "o": ("organization",), "ou": ("organizationalUnit",)}
_OF_THE_SERVERS = ",ou=system,"
_SALT_BYTES = 8


class Accounts(msgspec.Struct, frozen=True):
    """The secrets of the accounts by which servers use their replicas.

    `reader` sees all but passwords, `writer` may change it, `replicator` sees everything, as a shadow must.
    """

    reader: str
    writer: str
    replicator: str

    def __repr__(self) -> str:
        return "Accounts(...)"


def derive(secret: bytes, purpose: str) -> bytes:
    """32 octets for one purpose, from which neither the secret nor what is for another purpose can be found out."""
    key = hashlib.blake2b(secret, person=b"nightmail-dir").digest()
    return hashlib.blake2b(purpose.encode(), key=key, digest_size=32).digest()


def accounts_of(secret: bytes) -> Accounts:
    """The accounts of a cluster with this secret."""
    return Accounts(*(_password(derive(secret, f"account {name}")) for name in Accounts.__struct_fields__))


def account(name: str, suffix: str) -> str:
    """The distinguished name of one of the accounts."""
    return f"cn={name}{_OF_THE_SERVERS}{suffix}"


def suffix_of(name: str) -> str:
    """The suffix of the directory that an account belongs to, from its distinguished name."""
    return name.partition(_OF_THE_SERVERS)[2]


def is_of_the_servers(name: str) -> bool:
    """Whether an entry is one of those by which servers know one another, which nobody writes."""
    return _OF_THE_SERVERS in name


def first_entries(part: Part, suffix: str, accounts: Accounts) -> list[Item]:
    """What a new part begins with: its base, the tables' containers and, if it is the whole, the servers' accounts."""
    units = [unit(name, part.base) for name in CONTAINERS.values()]
    if part.site:
        return [Item(part.base, {"objectClass": ("nmMailSite",), "nmSite": (part.site,)}), *units]
    root, *others = above_the_parts(suffix, accounts)
    return [root, *units, *others]


def above_the_parts(suffix: str, accounts: Accounts) -> list[Item]:
    """The suffix itself, and the accounts of the servers: what is of no site."""
    attribute, _, name = suffix.partition(",")[0].partition("=")
    attribute = attribute.strip().lower()
    root = {"objectClass": _OBJECT_CLASSES[attribute], attribute: (name,)}
    if attribute == "dc":
        root["o"] = (name,)
    names = Accounts.__struct_fields__
    entries = (_account_entry(name, suffix, getattr(accounts, name)) for name in names)
    return [Item(suffix, root), unit("ou=system", suffix), *entries]


def _account_entry(name: str, suffix: str, password: str) -> Item:
    classes = ("organizationalRole", "simpleSecurityObject")
    return Item(account(name, suffix), {"objectClass": classes, "cn": (name,), "userPassword": (_hashed(password),)})


def _password(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def _hashed(password: str) -> str:
    """A password as slapd compares it. It is a key of 256 bits: a slow hash would guard nothing, nor would chance."""
    salt = hashlib.blake2b(password.encode(), digest_size=_SALT_BYTES, person=b"nightmail-salt").digest()
    digest = hashlib.sha1(password.encode() + salt, usedforsecurity=False).digest()
    return "{SSHA}" + base64.b64encode(digest + salt).decode()
