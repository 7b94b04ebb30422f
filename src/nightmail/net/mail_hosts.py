"""Where the mail of a destination goes: the hosts to try, in order (RFC 5321 §5.1).

The DNS is asked once for the exchangers and once for the addresses of each; the rest is arithmetic: sort by
preference, shuffle equals, cut off everything from ourselves on, alternate IP versions.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, zip_longest

import msgspec

from nightmail.errors import DeliveryFailed, PermanentFailure, TemporaryFailure
from nightmail.mail.reply import Reply
from nightmail.net.addresses import HostPort, Target, ip_version, is_ip, parse_host_port, parse_literal
from nightmail.net.dns import Dns, Exchanger
from nightmail.net.sockets import is_local_address
from nightmail.routing.route import Route
from nightmail.world import Randomness

_EXCHANGERS_MAX = 32


class OwnHosts:
    """Knows which mail hosts are ourselves, so that mail doesn't go in circles."""

    def __init__(
        self,
        hostname: str,
        listeners: Sequence[HostPort] = (),
        own_addresses: Iterable[str] = (),
        is_local: Callable[[str], bool] = is_local_address,
    ) -> None:
        """Take what is ours.

        `own_addresses` are `address` or `address:port` and lead back to us although no listener of ours has them
        (balancers, translated addresses); without a port they do so at every port. Raises: ValueError.
        """
        self._hostname = hostname.rstrip(".").lower()
        self._listeners = frozenset((listener.host, listener.port) for listener in listeners)
        self._wildcards = frozenset(
            (ip_version(listener.host), listener.port)
            for listener in listeners
            if is_ip(listener.host) and ipaddress.ip_address(listener.host).is_unspecified
        )
        others = [parse_host_port(text, default_port=0) for text in own_addresses]
        self._elsewhere = frozenset((other.host, other.port) for other in others)
        self._is_local = is_local

    def has_name(self, host: str) -> bool:
        """Whether `host` is the name under which we announce ourselves."""
        return host.rstrip(".").lower() == self._hostname

    def has_address(self, address: str, port: int) -> bool:
        """Whether a connection to `address` at `port` would end at ourselves."""
        if (address, port) in self._listeners or not self._elsewhere.isdisjoint({(address, port), (address, 0)}):
            return True
        return (ip_version(address), port) in self._wildcards and self._is_local(address)


class _Host(msgspec.Struct, frozen=True):
    """A mail host with its addresses; `failure` says why it has none."""

    preference: int
    name: str
    addresses: tuple[str, ...]
    failure: DeliveryFailed | None = None


class MailHosts:
    """Turns a destination into targets to connect to."""

    def __init__(self, dns: Dns, randomness: Randomness, own: OwnHosts, addresses_tried: int = 10) -> None:
        self._dns = dns
        self._randomness = randomness
        self._own = own
        self._addresses_tried = addresses_tried

    async def of(self, route: Route) -> list[Target]:
        """The targets of an SMTP or LMTP route. Raises: as `by_mx` and `fixed` do."""
        if route.path:
            return [Target("unix", route.path, 0)]
        return await (self.by_mx if route.by_mx else self.fixed)(route.host, route.port)

    async def by_mx(self, domain: str, port: int = 25) -> list[Target]:
        """The targets for mail to `domain`, the first to try first; an address literal is its own and only one.

        Raises:
            TemporaryFailure: the DNS couldn't tell.
            PermanentFailure: no such domain (5.1.2), no host for it (5.4.4), it takes no mail (5.1.10), or the mail
                would come back to us (5.4.6).
        """
        if domain.startswith("["):
            return await self.fixed(_literal(domain), port)
        exchangers = await self._dns.exchangers(domain)
        if exchangers is None:
            raise PermanentFailure(Reply(550, "5.1.2", f"Host or domain name not found: {domain}"))
        if not exchangers:
            return await self._implicit(domain, port)
        hosts = await self._resolve(_acceptable(domain, exchangers))
        return self._targets(domain, self._before_ourselves(domain, hosts, port), port)

    async def fixed(self, host: str, port: int) -> list[Target]:
        """The targets for one given host, by its name or IP address.

        Raises:
            TemporaryFailure: the DNS couldn't tell.
            PermanentFailure: no such host (5.1.2), or it is ourselves (5.4.6).
        """
        if is_ip(host):
            if self._own.has_address(host, port):
                raise _loop(f"[{host}]:{port}")
            return [Target(host, host, port)]
        return await self._implicit(host, port)

    async def _implicit(self, host: str, port: int) -> list[Target]:
        """The targets of a host that is named by itself, as a domain without MX records is (RFC 5321 §5.1)."""
        found = await self._address(Exchanger(0, host))
        if found.failure is not None:
            raise found.failure
        # Such a host is known by its address alone: a server may well be named like a domain it relays for.
        if any(self._own.has_address(address, port) for address in found.addresses):
            raise _loop(host)
        return self._targets(host, [found], port)

    async def _resolve(self, exchangers: Sequence[Exchanger]) -> list[_Host]:
        """The exchangers with their addresses, the most preferred first, equals in random order."""
        order = sorted(exchangers, key=lambda mx: (mx.preference, self._randomness.uniform()))
        return list(await asyncio.gather(*(self._address(mx) for mx in order[:_EXCHANGERS_MAX])))

    async def _address(self, exchanger: Exchanger) -> _Host:
        name = exchanger.host
        try:
            addresses = await self._dns.addresses(name)
        except TemporaryFailure as error:
            return _Host(exchanger.preference, name, (), error)
        if addresses:
            return _Host(exchanger.preference, name, addresses)
        what = "Host or domain name not found" if addresses is None else "Host has no address"
        return _Host(exchanger.preference, name, (), PermanentFailure(Reply(550, "5.1.2", f"{what}: {name}")))

    def _before_ourselves(self, domain: str, hosts: list[_Host], port: int) -> list[_Host]:
        """Those more preferred than ourselves, if we are among them: mail only moves towards them (RFC 5321 §5.1)."""
        ours = [host.preference for host in hosts if self._is_ourselves(host, port)]
        if not ours:
            return hosts
        closer = [host for host in hosts if host.preference < min(ours)]
        if not closer:
            raise _loop(domain)
        return closer

    def _is_ourselves(self, host: _Host, port: int) -> bool:
        return self._own.has_name(host.name) or any(self._own.has_address(a, port) for a in host.addresses)

    def _targets(self, domain: str, hosts: list[_Host], port: int) -> list[Target]:
        """The addresses to try; raises where no host has one, temporarily if that may change by itself."""
        targets = [Target(host.name, address, port) for host in hosts for address in _alternating(host.addresses)]
        if targets:
            return targets[: self._addresses_tried]
        for host in hosts:
            if isinstance(host.failure, TemporaryFailure):
                raise host.failure
        names = ", ".join(host.name for host in hosts)
        raise PermanentFailure(Reply(550, "5.4.4", f"No mail host of {domain} has an address: {names}"))


def _acceptable(domain: str, exchangers: Sequence[Exchanger]) -> list[Exchanger]:
    """The exchangers that name a host; raises where the domain says that it takes no mail (RFC 7505 §3)."""
    named = [exchanger for exchanger in exchangers if exchanger.host]
    if not named:
        raise PermanentFailure(Reply(556, "5.1.10", f"{domain} does not accept mail (null MX)"))
    return named


def _alternating(addresses: tuple[str, ...]) -> list[str]:
    """IPv6 and IPv4 by turns, so that a machine with only one of them soon meets an address it can reach."""
    v6 = [address for address in addresses if ip_version(address) == 6]
    v4 = [address for address in addresses if ip_version(address) != 6]
    return [address for address in chain.from_iterable(zip_longest(v6, v4)) if address]


def _literal(domain: str) -> str:
    try:
        return parse_literal(domain)
    except ValueError as error:
        raise PermanentFailure(Reply(550, "5.1.2", str(error))) from error


def _loop(where: str) -> PermanentFailure:
    return PermanentFailure(Reply(554, "5.4.6", f"mail for {where} loops back to myself"))
