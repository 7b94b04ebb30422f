"""The logical model as dictionaries, for tests of what is done with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from nightmail.errors import DirectoryUnavailable
from nightmail.routing.model import ClientRule, Domain
from nightmail.routing.networks import network_key, parse_network, prefix_of
from nightmail.routing.route import Route, parse_route


class MemoryMaps:
    """Satisfies `model.Maps`. `broken` makes every lookup fail; `lookups` counts them."""

    def __init__(
        self,
        domains: Mapping[str, str] | None = None,
        routes: Mapping[str, str] | None = None,
        *,
        aliases: Mapping[str, Iterable[str]] | None = None,
        mailboxes: Iterable[str] = (),
        clients: Mapping[str, ClientRule] | None = None,
        postmaster: str = "",
    ) -> None:
        self.broken = False
        self.lookups = 0
        self._domains = {key: Domain(*value.split()) for key, value in (domains or {}).items()}  # type: ignore[arg-type]
        self._routes = {key: parse_route(value, "here") for key, value in (routes or {"*": "mx"}).items()}
        self._aliases = {key: tuple(targets) for key, targets in (aliases or {}).items()}
        self._mailboxes = frozenset(mailboxes)
        self._clients = {network_key(parse_network(key, "here")): rule for key, rule in (clients or {}).items()}
        self._postmaster = postmaster

    has_checked_targets = True
    is_certain = True

    def need(self, keys: Collection[str]) -> None:
        """Nothing: everything is here."""

    def _look(self) -> None:
        self.lookups += 1
        if self.broken:
            raise DirectoryUnavailable("no answer")

    def domain(self, key: str) -> Domain | None:
        self._look()
        return self._domains.get(key)

    def route(self, key: str) -> Route | None:
        self._look()
        return self._routes.get(key)

    def alias(self, key: str) -> tuple[str, ...] | None:
        self._look()
        return self._aliases.get(key)

    def is_mailbox(self, address: str) -> bool:
        self._look()
        return address in self._mailboxes

    def lists_mailboxes(self, domain: str) -> bool:
        self._look()
        return any(address.endswith(f"@{domain}") for address in self._mailboxes)

    def client(self, network: str) -> ClientRule:
        self._look()
        return self._clients.get(network, "")

    def prefix_lengths(self, version: int) -> tuple[int, ...]:
        lengths = {length for of, length in map(prefix_of, self._clients) if of == version}
        return tuple(sorted(lengths, reverse=True))

    def postmaster(self) -> str:
        return self._postmaster
