"""The DNS as mail needs it: mail exchangers and addresses of a name, remembered as long as their TTL allows.

Three answers are kept apart everywhere: records, "there is no such name" and "nobody could tell". Only the last is
an error, and it is temporary.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from typing import Any, Protocol

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.resolver
import msgspec

from nightmail.errors import ConfigInvalid, TemporaryFailure
from nightmail.mail.reply import Reply
from nightmail.net.addresses import ip_version, is_ip, parse_host_port
from nightmail.net.settings import DnsSettings
from nightmail.world import Clock

_EDNS_PAYLOAD_BYTES = 1232
_CHAIN_MAX = 8
_LOOPBACK = ("::1", "127.0.0.1")


class Exchanger(msgspec.Struct, frozen=True):
    """One MX record; a null MX (RFC 7505) has an empty host."""

    preference: int
    host: str


class Dns(Protocol):
    """Answers questions about names."""

    async def exchangers(self, domain: str) -> tuple[Exchanger, ...] | None:
        """The MX records of `domain`, empty where it has none, None where there is no such name.

        Raises:
            TemporaryFailure: nobody could tell (451 4.4.3).
        """
        ...

    async def addresses(self, host: str) -> tuple[str, ...] | None:
        """The IP addresses of `host`, IPv6 first, empty where it has none, None where there is no such name.

        Raises:
            TemporaryFailure: nobody could tell (451 4.4.3).
        """
        ...


class _Answer(msgspec.Struct, frozen=True):
    """What is remembered of one question: `records` is None where there is no such name."""

    records: tuple[Any, ...] | None
    expires: float


class DnsResolver:
    """Asks the configured resolvers; the same question asked by many at once goes out once."""

    def __init__(self, settings: DnsSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._resolver = _resolver(settings)
        self._cache: OrderedDict[tuple[str, str], _Answer] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Task[_Answer]] = {}

    async def exchangers(self, domain: str) -> tuple[Exchanger, ...] | None:
        """As `Dns.exchangers` promises, the most preferred first."""
        records = await self._lookup(domain, "MX")
        if records is None:
            return None
        found = (Exchanger(r.preference, r.exchange.to_text(omit_final_dot=True).lower()) for r in records)
        return tuple(Exchanger(mx.preference, "" if mx.host == "." else mx.host) for mx in found)

    async def addresses(self, host: str) -> tuple[str, ...] | None:
        """As `Dns.addresses` promises; a family that can't be asked for is left out where the other is found."""
        if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 §6.3
            return self._wanted(_LOOPBACK)
        types = [t for t, family in (("AAAA", "ipv6"), ("A", "ipv4")) if self._settings.families in ("both", family)]
        answers = await asyncio.gather(*(self._lookup(host, t) for t in types), return_exceptions=True)
        found = tuple(r.address for answer in answers if isinstance(answer, tuple) for r in answer)
        for answer in answers:
            if isinstance(answer, BaseException) and not found:
                raise answer
        return found if found or () in answers else None

    def _wanted(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(a for a in addresses if self._settings.families in ("both", f"ipv{ip_version(a)}"))

    async def _lookup(self, name: str, rdtype: str) -> tuple[Any, ...] | None:
        """The records of one type, from memory where they are fresh."""
        question = (name, rdtype)
        answer = self._cache.get(question)
        if answer is not None and self._clock.elapsed() < answer.expires:
            self._cache.move_to_end(question)
            return answer.records
        asking = self._asking.get(question)
        if asking is None:
            asking = self._asking[question] = asyncio.create_task(self._ask(name, rdtype))
            asking.add_done_callback(lambda task: self._asked(question, task))
        # One that asked and no longer wants to know must not take the answer from the others.
        return (await asyncio.shield(asking)).records

    def _asked(self, question: tuple[str, str], task: asyncio.Task[_Answer]) -> None:
        self._asking.pop(question, None)
        if not task.cancelled():
            task.exception()  # seen here, for the case that nobody waits any more

    async def close(self) -> None:
        """Break off the questions that are still open."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, name: str, rdtype: str) -> _Answer:
        """The answer of a resolver, remembered from now on."""
        try:
            async with asyncio.timeout(self._settings.lifetime_s):
                records, ttl_s = await self._resolve(name, rdtype)
        except (dns.exception.DNSException, TimeoutError, OSError, ValueError) as error:
            why = "timed out" if isinstance(error, (TimeoutError, dns.exception.Timeout)) else _first_line(error)
            text = f"Name service error for {name} type={rdtype}: {why}"
            raise TemporaryFailure(Reply(451, "4.4.3", text)) from error
        longest_s = self._settings.ttl_max_s if records else self._settings.negative_ttl_max_s
        answer = _Answer(records, self._clock.elapsed() + min(ttl_s, longest_s))
        self._cache[(name, rdtype)] = answer
        while len(self._cache) > self._settings.cache_entries:
            self._cache.popitem(last=False)
        return answer

    async def _resolve(self, name: str, rdtype: str) -> tuple[tuple[Any, ...] | None, float]:
        """The records, or None where there is no such name, and for how many seconds that holds."""
        try:
            asked = dns.name.from_text(name)
        except (dns.exception.SyntaxError, dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel):
            return None, self._settings.negative_ttl_max_s
        ttl_s = float(self._settings.ttl_max_s)
        for _ in range(_CHAIN_MAX):
            try:
                answer = await self._resolver.resolve(asked, rdtype, raise_on_no_answer=False, search=False)
            except dns.resolver.NXDOMAIN as error:
                return None, min(ttl_s, _negative_ttl_s(error))
            ttl_s = min(ttl_s, float(answer.chaining_result.minimum_ttl))
            if answer.rrset is not None:
                return tuple(answer.rrset), ttl_s
            if answer.canonical_name == asked:
                return (), ttl_s
            asked = answer.canonical_name  # a resolver that leaves following the CNAME to us
        raise ValueError("a chain of CNAMEs without end")


def _resolver(settings: DnsSettings) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=False)
    if settings.resolvers:
        resolver.nameservers = [_nameserver(text) for text in settings.resolvers]
    else:
        # None configured there either: every lookup fails for the time being, and says why.
        with contextlib.suppress(dns.resolver.NoResolverConfiguration):
            resolver.read_resolv_conf("/etc/resolv.conf")
    resolver.timeout = settings.timeout_s
    resolver.lifetime = settings.lifetime_s
    resolver.use_edns(0, 0, _EDNS_PAYLOAD_BYTES)
    return resolver


def _nameserver(text: str) -> dns.nameserver.Nameserver:
    try:
        where = parse_host_port(text, default_port=53)
    except ValueError as error:
        raise ConfigInvalid("[dns] resolvers", str(error)) from error
    if not is_ip(where.host):
        raise ConfigInvalid("[dns] resolvers", f"{where.host!r} is no IP address", "write for instance 192.0.2.53")
    return dns.nameserver.Do53Nameserver(where.host, where.port)


def _negative_ttl_s(error: dns.resolver.NXDOMAIN) -> float:
    """For how long the absence of the name may be believed (RFC 2308 §5)."""
    try:
        (response,) = error.kwargs["responses"].values()
        return float(response.resolve_chaining().minimum_ttl)
    except (dns.exception.DNSException, KeyError, ValueError):
        return 0.0


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__
