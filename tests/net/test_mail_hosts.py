from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from nightmail.errors import PermanentFailure, TemporaryFailure
from nightmail.mail.reply import Reply
from nightmail.net.addresses import HostPort, Target
from nightmail.net.dns import Exchanger
from nightmail.net.mail_hosts import MailHosts, OwnHosts
from nightmail.routing.route import parse_route

DOWN = "down"


class ToldDns:
    """A DNS that knows what it was told; a name without an entry does not exist."""

    def __init__(
        self,
        exchangers: Mapping[str, tuple[tuple[int, str], ...] | str],
        addresses: Mapping[str, tuple[str, ...] | str],
    ) -> None:
        self._exchangers = exchangers
        self._addresses = addresses

    async def exchangers(self, domain: str) -> tuple[Exchanger, ...] | None:
        told = self._exchangers.get(domain)
        if isinstance(told, str):
            raise TemporaryFailure(Reply(451, "4.4.3", "SERVFAIL"))
        if told is None:
            return () if domain in self._addresses else None
        return tuple(Exchanger(*one) for one in told)

    async def addresses(self, host: str) -> tuple[str, ...] | None:
        told = self._addresses.get(host)
        if isinstance(told, str):
            raise TemporaryFailure(Reply(451, "4.4.3", "SERVFAIL"))
        return told


class Chance:
    """Draws the given numbers by turns."""

    def __init__(self, *draws: float) -> None:
        self._draws = list(draws) or [0.5]

    def uniform(self) -> float:
        self._draws.append(self._draws.pop(0))
        return self._draws[-1]

    def token(self, size_bytes: int) -> bytes:
        return bytes(size_bytes)


EXCHANGERS: dict[str, tuple[tuple[int, str], ...] | str] = {
    "example.net": ((20, "backup.example.net"), (10, "mx.example.net")),
    "equal.example": ((10, "a.example"), (10, "b.example")),
    "null.example": ((0, ""),),
    "mixed.example": ((0, ""), (10, "a.example")),
    "down.example": DOWN,
    "half.example": ((10, "down.example"), (20, "a.example")),
    "allgone.example": ((10, "gone.example"), (20, "empty.example")),
    "alldown.example": ((10, "gone.example"), (20, "down.example")),
    "ours.example": ((10, "first.example"), (20, "mx1.example.org"), (20, "a.example"), (30, "b.example")),
    "onlyours.example": ((10, "MX1.example.org."), (10, "a.example")),
    "translated.example": ((10, "balancer.example"),),
}
ADDRESSES: dict[str, tuple[str, ...] | str] = {
    "mx.example.net": ("2001:db8::1", "2001:db8::2", "192.0.2.1"),
    "backup.example.net": ("192.0.2.9",),
    "a.example": ("192.0.2.11",),
    "b.example": ("192.0.2.12",),
    "first.example": ("192.0.2.13",),
    "mx1.example.org": ("203.0.113.1",),
    "implicit.example": ("192.0.2.20",),
    "self.example": ("203.0.113.1",),
    "empty.example": (),
    "down.example": DOWN,
    "balancer.example": ("203.0.113.99",),
    "here.example": ("198.51.100.7",),
}


def own(**more: object) -> OwnHosts:
    return OwnHosts("mx1.example.org", (HostPort("203.0.113.1", 25),), ("203.0.113.99", "203.0.113.98:2525"), **more)  # type: ignore[arg-type]  # whatever the test replaces


def hosts(chance: Chance | None = None, tried: int = 10, ours: OwnHosts | None = None) -> MailHosts:
    return MailHosts(ToldDns(EXCHANGERS, ADDRESSES), chance or Chance(), ours or own(), tried)


def by_mx(domain: str, port: int = 25, **how: object) -> list[Target]:
    return asyncio.run(hosts(**how).by_mx(domain, port))  # type: ignore[arg-type]  # whatever the test replaces


def addresses(targets: list[Target]) -> list[str]:
    return [target.address for target in targets]


def refusal(domain: str, port: int = 25) -> str:
    with pytest.raises(PermanentFailure) as caught:
        by_mx(domain, port)
    return f"{caught.value.reply.code} {caught.value.reply.enhanced}"


def test_the_preferred_host_comes_first_and_families_alternate() -> None:
    assert addresses(by_mx("example.net")) == ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.9"]


def test_a_target_is_named_with_host_address_and_port() -> None:
    assert str(by_mx("example.net")[1]) == "mx.example.net[192.0.2.1]:25"
    assert str(Target("example.org", "run/lmtp", 0)) == "example.org[run/lmtp]"


@pytest.mark.parametrize(("draws", "first"), [((0.1, 0.9), "a.example"), ((0.9, 0.1), "b.example")])
def test_equal_preferences_are_shuffled(draws: tuple[float, float], first: str) -> None:
    assert by_mx("equal.example", chance=Chance(*draws))[0].host == first


def test_only_so_many_addresses_are_tried() -> None:
    assert len(by_mx("example.net", tried=2)) == 2


def test_a_domain_without_mx_is_its_own_mail_host() -> None:
    assert by_mx("implicit.example") == [Target("implicit.example", "192.0.2.20", 25)]


def test_a_null_mx_is_a_permanent_refusal() -> None:
    assert refusal("null.example") == "556 5.1.10"


def test_a_null_mx_beside_others_is_overlooked() -> None:
    assert addresses(by_mx("mixed.example")) == ["192.0.2.11"]


def test_no_such_domain_is_permanent() -> None:
    assert refusal("nowhere.example") == "550 5.1.2"


def test_a_domain_with_neither_mx_nor_address_is_permanent() -> None:
    assert refusal("empty.example") == "550 5.1.2"


def test_exchangers_without_an_address_are_permanent() -> None:
    assert refusal("allgone.example") == "550 5.4.4"


@pytest.mark.parametrize("domain", ["down.example", "alldown.example"])
def test_a_dns_that_cannot_tell_is_temporary(domain: str) -> None:
    with pytest.raises(TemporaryFailure):
        by_mx(domain)


def test_a_host_that_cannot_be_resolved_does_not_hide_the_next() -> None:
    assert addresses(by_mx("half.example")) == ["192.0.2.11"]


def test_from_ourselves_on_hosts_are_discarded() -> None:
    assert addresses(by_mx("ours.example")) == ["192.0.2.13"]


@pytest.mark.parametrize("domain", ["onlyours.example", "translated.example", "self.example", "[203.0.113.1]"])
def test_mail_that_would_come_back_is_a_permanent_failure(domain: str) -> None:
    with pytest.raises(PermanentFailure, match="loops back to myself") as caught:
        by_mx(domain)
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (554, "5.4.6")


def test_our_address_at_another_port_is_somebody_else() -> None:
    assert addresses(by_mx("self.example", 2526)) == ["203.0.113.1"]


def test_an_own_address_without_a_port_is_ours_at_every_port() -> None:
    assert refusal("translated.example", 2526) == "554 5.4.6"


def test_an_own_address_with_a_port_is_ours_at_that_port() -> None:
    assert own().has_address("203.0.113.98", 2525)
    assert not own().has_address("203.0.113.98", 25)


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
def test_a_listener_on_every_address_makes_the_machines_addresses_ours(wildcard: str) -> None:
    local = {"0.0.0.0": "198.51.100.7", "::": "2001:db8::7"}[wildcard]
    ours = OwnHosts("mx1", [HostPort(wildcard, 25)], is_local=lambda address: address == local)
    assert ours.has_address(local, 25)
    assert not ours.has_address(local, 26)
    assert not ours.has_address("198.51.100.8", 25)


@pytest.mark.parametrize(("literal", "address"), [("[192.0.2.1]", "192.0.2.1"), ("[IPv6:2001:db8::1]", "2001:db8::1")])
def test_an_address_literal_is_its_own_mail_host(literal: str, address: str) -> None:
    assert by_mx(literal) == [Target(address, address, 25)]


@pytest.mark.parametrize("literal", ["[192.0.2]", "[2001:db8::1]", "[IPv6:192.0.2.1]", "[x"])
def test_a_broken_literal_is_a_permanent_failure(literal: str) -> None:
    assert refusal(literal) == "550 5.1.2"


def test_a_fixed_host_is_looked_up_without_mx() -> None:
    assert asyncio.run(hosts().fixed("mx.example.net", 2526))[0] == Target("mx.example.net", "2001:db8::1", 2526)


@pytest.mark.parametrize(
    ("route", "first"),
    [
        ("smtp:example.net", "mx.example.net[2001:db8::1]:25"),
        ("smtp:[mx.example.net]:2526", "mx.example.net[2001:db8::1]:2526"),
        ("lmtp:[192.0.2.1]:24", "192.0.2.1[192.0.2.1]:24"),
        ("lmtp:unix:/run/lmtp", "unix[/run/lmtp]"),
    ],
)
def test_a_route_says_how_its_targets_are_found(route: str, first: str) -> None:
    assert str(asyncio.run(hosts().of(parse_route(route, "routes:1")))[0]) == first


def test_a_fixed_host_that_is_ourselves_is_refused() -> None:
    with pytest.raises(PermanentFailure, match="loops back"):
        asyncio.run(hosts().fixed("203.0.113.1", 25))
