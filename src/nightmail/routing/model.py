"""The logical model that every source is brought into: what is kept about domains, and how it is asked for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, Protocol

import msgspec

from nightmail.routing.route import Route

ClientRule = Literal["relay", "submit", "deny", ""]


class Domain(msgspec.Struct, frozen=True, array_like=True):
    """What a domain is to us.

    `local`: its mailboxes are known here. `relay`: taken and passed on. `alias`: another name of the domain `target`.
    `verify` says that the recipients of a relay domain have to be listed, even where none is.
    """

    kind: Literal["local", "relay", "alias"]
    target: str = ""
    verify: bool = False


class Maps(Protocol):
    """Exact lookups in one unchanging state of the model; which keys to try, and in which order, is not their business.

    Keys are folded: addresses by `names.address_key`, domains by `mail.address.fold_domain`, networks by
    `networks.network_keys`. Each lookup may raise DirectoryUnavailable: the answer can't be known now. Where that is
    NotKnownYet it can be looked up.
    """

    @property
    def has_checked_targets(self) -> bool:
        """Whether every alias was found to lead to recipients when it came into force."""
        ...

    @property
    def is_certain(self) -> bool:
        """Whether what is not found here is nowhere. Otherwise `is_mailbox` raises DirectoryUnavailable for it."""
        ...

    def need(self, keys: Collection[str]) -> None:
        """Say ahead which addresses will be asked about. Raises: NotKnownYet: of all that has to be looked up."""
        ...

    def domain(self, key: str) -> Domain | None:
        """The entry of a domain, or of `.parent`."""
        ...

    def route(self, key: str) -> Route | None:
        """The route of an address, a domain, `.parent` or `*`."""
        ...

    def alias(self, key: str) -> tuple[str, ...] | None:
        """The addresses that an address or `@domain` stands for."""
        ...

    def is_mailbox(self, address: str) -> bool:
        """Whether the address is listed as a valid recipient."""
        ...

    def lists_mailboxes(self, domain: str) -> bool:
        """Whether any address of the domain is listed as a valid recipient."""
        ...

    def client(self, network: str) -> ClientRule:
        """The rule of exactly this network, or nothing."""
        ...

    def prefix_lengths(self, version: int) -> tuple[int, ...]:
        """The lengths of all networks of an IP version, the longest first."""
        ...

    def postmaster(self) -> str:
        """The address that takes mail for `<postmaster>` without a domain, or nothing."""
        ...
