"""Aliases and lists: from one address to the final recipients that it stands for, once and bounded (J13)."""

from __future__ import annotations

from collections import deque

from nightmail.errors import SwitchError
from nightmail.mail.address import fold_domain, split
from nightmail.routing.model import Domain, Maps
from nightmail.routing.names import mailbox_key, parents

MAX_DEPTH = 20
MAX_RECIPIENTS = 10_000


class ExpansionFailed(SwitchError):
    """An alias leads nowhere: in a circle, too deep, or to too many recipients. The message says which."""


def domain_of(maps: Maps, domain: str) -> Domain | None:
    """What a domain (folded) is to us: by its own entry, or by that of its nearest parent."""
    found = maps.domain(domain)
    if found is None:
        found = next(filter(None, map(maps.domain, parents(domain))), None)
    return found


def is_deliverable(maps: Maps, key: str, domain: str) -> bool:
    """Whether mail for an address that no alias changes can be taken: its mailbox is known, or isn't ours to know."""
    entry = domain_of(maps, domain)
    if entry is None:
        return True
    if entry.kind == "relay" and not entry.verify and not maps.lists_mailboxes(domain):
        return True
    return entry.kind != "alias" and maps.is_mailbox(key)


def alias_of(maps: Maps, key: str, domain: str) -> tuple[str, ...] | None:
    """The addresses that an address stands for, if an alias names it.

    The address itself comes first, then `@domain`, which takes what has no mailbox of its own.
    """
    targets = maps.alias(key)
    if targets is None and not maps.is_mailbox(key):
        targets = maps.alias(f"@{domain}")
    return targets


def past_alias_domain(maps: Maps, address: str) -> str:
    """The same address in the domain that its alias domain is another name of; most addresses are already there."""
    local_part, domain = split(address)
    entry = domain_of(maps, fold_domain(domain))
    return f"{local_part}@{entry.target}" if entry and entry.kind == "alias" else address


def expand(maps: Maps, address: str, targets: tuple[str, ...]) -> tuple[str, ...]:
    """The final recipients of an address with the alias `targets`, each once.

    An alias that names itself keeps its own mailbox. What was expanded before is not expanded again.

    Raises:
        ExpansionFailed: there are none, too many, or the way to them is too long.
        ValueError: an address has a domain that can't be one.
    """
    finals: dict[str, str] = {}
    expanded = {_key(address)}
    waiting = deque((target, _key(address), 1) for target in targets)
    _need(maps, targets)
    while waiting:
        current, parent, depth = waiting.popleft()
        current = past_alias_domain(maps, current)
        key = _key(current)
        further = None if key == parent else alias_of(maps, key, key.rpartition("@")[2])
        if further is None:
            finals.setdefault(key, current)
        elif key not in expanded:
            expanded.add(key)
            _need(maps, further)
            waiting.extend((target, key, depth + 1) for target in further)
        _check_bounds(address, len(finals) + len(waiting), depth)
    if not finals:
        raise ExpansionFailed(f"the alias {address} leads in a circle")
    if not maps.has_checked_targets:
        finals = {key: final for key, final in finals.items() if is_deliverable(maps, key, key.rpartition("@")[2])}
        if not finals:
            raise ExpansionFailed(f"the alias {address} leads to nobody")
    return tuple(finals.values())


def _need(maps: Maps, targets: tuple[str, ...]) -> None:
    if not maps.has_checked_targets:  # else everything is held, and nothing has to be looked up
        maps.need([_key(past_alias_domain(maps, target)) for target in targets])


def _key(address: str) -> str:
    local_part, domain = split(address)
    return f"{mailbox_key(local_part)}@{fold_domain(domain)}"


def _check_bounds(address: str, recipients: int, depth: int) -> None:
    if recipients > MAX_RECIPIENTS:
        raise ExpansionFailed(f"the alias {address} has more than {MAX_RECIPIENTS:,} recipients")
    if depth > MAX_DEPTH:
        raise ExpansionFailed(f"the alias {address} leads through more than {MAX_DEPTH} aliases")
