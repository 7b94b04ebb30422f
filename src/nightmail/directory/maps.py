"""The model where the directory keeps it: the few things that are held whole, and addresses, each looked up."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from nightmail.directory.known import Known
from nightmail.errors import DirectoryUnavailable, NotKnownYet
from nightmail.routing.expansion import alias_of, domain_of
from nightmail.routing.model import ClientRule, Domain, Maps
from nightmail.routing.route import Route

_POSTMASTER = "postmaster"
_REMEMBERED_DOMAINS = 10_000


class Whole(Maps, Protocol):
    """What is held whole: domains, their routes, clients."""

    def local_domains(self) -> tuple[str, ...]:
        """The first of the domains whose mailboxes are known."""
        ...


class DirectoryMaps:
    """Exact lookups; satisfies `model.Maps`.

    `find` answers for an address, or raises NotKnownYet, or DirectoryUnavailable where it could not be looked up. Only
    addresses in domains of ours are asked about. `is_sure` tells whether nobody else has what is not found.
    """

    has_checked_targets = False

    def __init__(self, whole: Whole, find: Callable[[str], Known], is_sure: Callable[[], bool] = lambda: True) -> None:
        self._whole = whole
        self._find = find
        self._is_sure = is_sure
        self._is_ours: dict[str, bool] = {}

    @property
    def is_certain(self) -> bool:
        """Whether what is not found is nowhere."""
        return self._is_sure()

    def need(self, keys: Collection[str]) -> None:
        """Say ahead which addresses will be asked about. Raises: NotKnownYet: of all that has to be looked up."""
        missing = [key for key in keys if self._has_to_be_looked_up(key)]
        if missing:
            raise NotKnownYet(missing)

    def domain(self, key: str) -> Domain | None:
        """The entry of a domain, or of `.parent`."""
        return self._whole.domain(key)

    def route(self, key: str) -> Route | None:
        """The route of an address, a domain, `.parent` or `*`; one with an entry of its own comes before a mailHost."""
        route = self._whole.route(key)
        return self._answer(key).route if route is None and "@" in key else route

    def alias(self, key: str) -> tuple[str, ...] | None:
        """The addresses that an address or `@domain` stands for."""
        return self._answer(key).targets

    def is_mailbox(self, address: str) -> bool:
        """Whether the address is a valid recipient. Raises: DirectoryUnavailable: also where it may be elsewhere."""
        is_mailbox = self._answer(address).is_mailbox
        if not is_mailbox and not self.is_certain and self._is_asked_about(address):
            raise DirectoryUnavailable("no replica is known to have all that there is: it may be at another one")
        return is_mailbox

    def lists_mailboxes(self, domain: str) -> bool:
        """Whether they count: the domain's own entry says so (`Domain.verify`)."""
        return False

    def client(self, network: str) -> ClientRule:
        """The rule of exactly this network, or nothing."""
        return self._whole.client(network)

    def prefix_lengths(self, version: int) -> tuple[int, ...]:
        """The lengths of all networks of an IP version, the longest first."""
        return self._whole.prefix_lengths(version)

    def postmaster(self) -> str:
        """The address that takes mail for `<postmaster>`: in the first local domain that has one, else in the first."""
        domains = self._whole.local_domains()
        self.need([f"{_POSTMASTER}@{domain}" for domain in domains])
        for domain in domains:
            address = f"{_POSTMASTER}@{domain}"
            if self.is_mailbox(address) or alias_of(self, address, domain) is not None:
                return address
        return self._whole.postmaster()

    def _answer(self, key: str) -> Known:
        if not self._is_asked_about(key):
            return _NOTHING
        known = self._find(key)
        if known.fault:
            raise DirectoryUnavailable(known.fault)
        return known

    def _has_to_be_looked_up(self, key: str) -> bool:
        if not self._is_asked_about(key):
            return False
        try:
            self._find(key)
        except NotKnownYet:
            return True
        except DirectoryUnavailable:
            return False
        return False

    def _is_asked_about(self, key: str) -> bool:
        domain = key.rpartition("@")[2]
        if domain == key:
            return key == _POSTMASTER
        is_ours = self._is_ours.get(domain)
        if is_ours is None:
            if len(self._is_ours) >= _REMEMBERED_DOMAINS:
                self._is_ours.clear()
            is_ours = self._is_ours[domain] = domain_of(self._whole, domain) is not None
        return is_ours


_NOTHING = Known()
