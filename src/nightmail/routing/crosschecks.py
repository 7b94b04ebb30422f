"""What one table must say because of another: the faults that no line shows by itself."""

from __future__ import annotations

from functools import lru_cache

from nightmail.errors import ConfigInvalid, PermanentFailure
from nightmail.mail.address import fold_domain, split
from nightmail.routing.expansion import ExpansionFailed, alias_of, domain_of, expand, is_deliverable
from nightmail.routing.model import Domain, Maps
from nightmail.routing.names import address_key, parents
from nightmail.routing.route import Route, maildir_path

_KNOWN_DOMAINS = 10_000


class CrossChecks:
    """Checks entries against the tables that were read before theirs: first domains and routes, then mailboxes."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self._domain_of = lru_cache(maxsize=_KNOWN_DOMAINS)(lambda domain: domain_of(maps, domain))

    def check_domain(self, key: str, place: str) -> None:
        """A domain that is ours must lead somewhere; one that takes mail for us must not lead back to us.

        Raises:
            ConfigInvalid: it has no route, or is another name of nothing.
        """
        entry = self._maps.domain(key)
        if entry is None:
            raise LookupError(f"{key} is checked before it was written")
        if entry.kind == "alias":
            self._check_alias_domain(key, entry.target, place)
        elif self._maps.route(key) is None and (entry.kind == "local" or not self._has_some_route(key)):
            every = " (* does not count for a local domain)" if entry.kind == "local" else ""
            wrong = f"{key} is {entry.kind} and has no route{every}"
            raise ConfigInvalid(place, wrong, f"add {key} to routes")

    def _check_alias_domain(self, key: str, target: str, place: str) -> None:
        entry = self._domain_of(target)
        if entry is None:
            raise ConfigInvalid(place, f"{target} is not in domains", "add it there as local or relay")
        if entry.kind == "alias":
            right = (
                f"make {key} another name of {entry.target}"
                if entry.target != key
                else "make one of them local or relay"
            )
            raise ConfigInvalid(place, f"{target} is itself another name, of {entry.target}", right)

    def _has_some_route(self, key: str) -> bool:
        keys = (*parents(key.removeprefix(".")), "*")
        return any(self._maps.route(key) is not None for key in keys)

    def check_mailbox(self, key: str, place: str) -> None:
        """A mailbox must be in a domain whose mailboxes count, and have a name that its route can use.

        Raises:
            ConfigInvalid: it isn't, or hasn't.
        """
        self._check_home(key, place)
        local_part, _, domain = key.rpartition("@")
        if local_part[0] in '."' or "/" in local_part:
            route = self._maps.route(key) or self._maps.route(domain)
            if route is not None and route.kind == "maildir":
                _check_maildir(route, key, place)

    def check_alias_key(self, key: str, place: str) -> None:
        """An alias must be in a domain that is ours.

        Raises:
            ConfigInvalid: it isn't.
        """
        if "@" in key:
            self._check_home(key, place)

    def _check_home(self, key: str, place: str) -> Domain:
        domain = key.rpartition("@")[2]
        entry = self._domain_of(domain)
        if entry is None:
            raise ConfigInvalid(
                place, f"{domain} is not in domains", "add it there as local or relay, or mend the name"
            )
        if entry.kind == "alias":
            right = f"write {key.rpartition('@')[0]}@{entry.target}"
            raise ConfigInvalid(place, f"{domain} is another name of {entry.target} and has no addresses", right)
        return entry

    def find_dead_end(self, key: str, targets: tuple[str, ...]) -> tuple[str, str] | None:
        """What is wrong with an alias's targets, and what would be right; None if all of them lead to a recipient.

        All of mailboxes and aliases must have been read.
        """
        if all(map(self._is_simple, targets)):
            return None
        try:
            finals = expand(self._maps, key, targets)
        except ExpansionFailed as error:
            return str(error), "name at least one address that is no alias, or fewer of them"
        for final in finals:
            domain = fold_domain(split(final)[1])
            if not is_deliverable(self._maps, address_key(final), domain):
                return f"{final} is neither a mailbox nor an alias", "add it to mailboxes, or mend the name"
        return None

    def _is_simple(self, target: str) -> bool:
        """Whether a target is a recipient by itself, as nearly all are."""
        key, domain = address_key(target), split(target)[1]
        entry = self._domain_of(domain)
        if entry is None:
            return True
        if entry.kind == "alias" or alias_of(self._maps, key, domain) is not None:
            return False
        return is_deliverable(self._maps, key, domain)


def _check_maildir(route: Route, key: str, place: str) -> None:
    try:
        maildir_path(route.path, key)
    except PermanentFailure as failure:
        right = "a local part with a / or a leading dot needs another route"
        raise ConfigInvalid(place, failure.reason, right) from failure
