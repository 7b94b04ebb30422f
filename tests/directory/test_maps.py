"""Whom the directory does not have is refused for good only where nobody else can have him."""

from __future__ import annotations

import pytest
from tests.routing.memory import MemoryMaps

from nightmail.directory.known import Known
from nightmail.directory.maps import DirectoryMaps
from nightmail.mail.reply import Reply
from nightmail.routing.resolution import NO_ROUTE, RELAY_DENIED, UNKNOWN_NOW, UNKNOWN_USER, Resolver
from nightmail.routing.snapshot import Accepted

ENTRIES = {
    "alice@x.org": Known(is_mailbox=True),
    "team@x.org": Known(targets=("alice@x.org", "carol@x.org")),
    "@y.org": Known(targets=("alice@x.org",)),
}


class Held(MemoryMaps):
    def local_domains(self) -> tuple[str, ...]:
        return ("x.org",)


def decided(address: str, *, is_certain: bool, may_relay: bool = False) -> Accepted | Reply:
    """How a RCPT command is decided."""
    domains = {"x.org": "local", "y.org": "local"}
    held = Held(domains=domains, routes={"*": "mx", **dict.fromkeys(domains, "discard")})
    maps = DirectoryMaps(held, lambda key: ENTRIES.get(key, Known()), lambda: is_certain)
    return Resolver(maps).accept(address, may_relay=may_relay)


@pytest.mark.parametrize(
    ("address", "certain", "else_"),
    [
        ("carol@x.org", UNKNOWN_USER, UNKNOWN_NOW),
        ("somebody@elsewhere.example", RELAY_DENIED, UNKNOWN_NOW),  # it may be a domain of ours that is new
        ("carol@y.org", Accepted(("alice@x.org",), "carol@y.org"), UNKNOWN_NOW),  # she may have a mailbox by now
        ("team@x.org", Accepted(("alice@x.org",), "team@x.org"), UNKNOWN_NOW),  # carol would not get it
        ("user%elsewhere@x.org", UNKNOWN_USER, UNKNOWN_NOW),
    ],
)
def test_who_is_not_found_is_to_be_sent_to_again_where_others_may_have_him(
    address: str, certain: Accepted | Reply, else_: Reply
) -> None:
    assert decided(address, is_certain=True) == certain
    assert decided(address, is_certain=False) == else_


def test_a_relay_has_no_route_to_a_domain_only_where_all_domains_are_known() -> None:
    def decision(*, is_certain: bool) -> Accepted | Reply:
        held = Held(domains={"x.org": "local"}, routes={"x.org": "discard"})
        maps = DirectoryMaps(held, lambda _: Known(), lambda: is_certain)
        return Resolver(maps).accept("somebody@new.example", may_relay=True)

    assert decision(is_certain=True) == NO_ROUTE
    assert decision(is_certain=False) == UNKNOWN_NOW


def test_who_is_found_is_taken_and_what_goes_elsewhere_too() -> None:
    assert decided("alice@x.org", is_certain=False) == Accepted(("alice@x.org",), "")
    elsewhere = decided("somebody@elsewhere.example", is_certain=False, may_relay=True)
    assert elsewhere == Accepted(("somebody@elsewhere.example",), "")
