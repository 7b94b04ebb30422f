"""Tables of many recipients of every kind, decided by a seed, and the addresses to ask about."""

from __future__ import annotations

import random
from typing import NamedTuple

PEOPLE_OF_A_DOMAIN = 400
ROUTES = ["mx", "maildir:/srv/{local_part}", "smtp:[192.0.2.1]:25", "smtp:far.example", "reject:closed", "discard"]
KINDS = {"mailbox": 50, "list": 20, "relay mailbox": 5, "other name": 10, "unknown": 10, "far": 5}
LETTERS = ["a", "e", "n", "r", "s", "t", "7", "-", ".", "ü", "ж", "名", "*", "=", "'", "#"]

Tables = dict[str, dict[str, str]]


class Recipients(NamedTuple):
    """The tables, each with its lines by their keys, and what is asked."""

    tables: Tables
    asked: list[str]


class _Domains(NamedTuple):
    local: list[str]
    verified: list[str]
    relayed: list[str]
    aliases: list[str]


def make_recipients(count: int, seed: int) -> Recipients:
    """So many addresses to be asked about, a thousand at least, and tables in which most of them are somebody."""
    chance = random.Random(seed)
    tables: Tables = {"domains": {}, "routes": {}, "aliases": {}, "mailboxes": {}, "clients": {}}
    domains = _domains(tables, max(1, count // PEOPLE_OF_A_DOMAIN), chance)
    known: list[str] = []
    _mailbox(f"first@{domains.local[0]}", tables, known, chance)
    asked = [_recipient(number, tables, domains, known, chance) for number in range(count)]
    for number, domain in enumerate(domains.local):
        if number % 3 == 0:
            tables["aliases"][f"@{domain}"] = chance.choice(known)
    return Recipients(tables, [*asked, "postmaster"])


def _domains(tables: Tables, count: int, chance: random.Random) -> _Domains:
    made = _Domains([], [], [], [])
    for number in range(count):
        local, relayed = f"d{number:04}.example", f"r{number:04}.example"
        if number % 5 == 0:
            local = f"xn--bcher-kva.d{number:04}.example"
        tables["domains"][local] = "local"
        tables["routes"][local] = "maildir:/srv/{local_part}"
        made.local.append(local)
        tables["domains"][relayed] = "relay verify" if number % 2 else "relay"
        (made.verified if number % 2 else made.relayed).append(relayed)
        if number % 3 == 0:
            tables["domains"][f".{relayed}"] = "relay"
            tables["routes"][f".{relayed}"] = chance.choice(ROUTES)
            made.relayed.append(f"deep.down.{relayed}")
        if number % 4 == 0:
            tables["domains"][f"a{number:04}.example"] = f"alias {local}"
            made.aliases.append(f"a{number:04}.example")
    tables["routes"]["*"] = "mx"
    # Of several domains the first in the file has <postmaster>; entries have no order but that of their names.
    tables["domains"] = dict(sorted(tables["domains"].items()))
    return made


def _recipient(number: int, tables: Tables, domains: _Domains, known: list[str], chance: random.Random) -> str:
    """One more address to be asked about, with what the tables say of it."""
    local_part = _local_part(number, chance)
    match chance.choices([*KINDS], [*KINDS.values()])[0]:
        case "mailbox":
            address = _mailbox(f"{local_part}@{chance.choice(domains.local)}", tables, known, chance)
        case "list":
            address = _list(f"{local_part}@{chance.choice(domains.local)}", tables, known, chance)
        case "relay mailbox":
            address = _mailbox(f"{local_part}@{chance.choice(domains.verified)}", tables, known, chance)
        case "other name":
            address = f"{chance.choice(known).rpartition('@')[0]}@{chance.choice(domains.aliases)}"
        case "unknown":  # or whom the domain's mail goes to
            address = f"{local_part}@{chance.choice([*domains.local, *domains.verified, *domains.relayed])}"
        case _:
            address = f"{local_part}@far{number % 50}.example.net"
    return _cased(address, chance)


def _list(address: str, tables: Tables, known: list[str], chance: random.Random) -> str:
    """One that stands for others, which may be lists, too."""
    targets = {*chance.choices(known, k=chance.randint(1, 5))}
    if chance.random() < 0.2:
        targets.add(f"outside{len(known)}@far.example.net")
    tables["aliases"][address] = ", ".join(sorted(targets))
    known.append(address)
    return address


def _mailbox(address: str, tables: Tables, known: list[str], chance: random.Random) -> str:
    tables["mailboxes"][address] = ""
    known.append(address)
    if chance.random() < 0.02:
        tables["routes"][address] = chance.choice(ROUTES)
    return address


def _local_part(number: int, chance: random.Random) -> str:
    """One that nobody has: a few are quoted, or have letters that are not ASCII or mean something to a filter."""
    form = chance.random()
    if form < 0.85:
        return f"user{number}"
    if form < 0.9:
        return f'"{chance.choice("(){}*,; ")}{chance.choice(["", "x"])} {number}"'
    return f"u{number}" + "".join(chance.choices(LETTERS, k=3)).replace(".", "") + "z"


def _cased(address: str, chance: random.Random) -> str:
    """The address as it may be written, too."""
    return address.upper() if chance.random() < 0.1 and address.isascii() else address
