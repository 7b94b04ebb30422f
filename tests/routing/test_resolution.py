from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.routing.memory import MemoryMaps

from nightmail.errors import PermanentFailure, TemporaryFailure
from nightmail.mail.reply import Reply
from nightmail.routing.resolution import REMEMBERED_ANSWERS, Resolver
from nightmail.routing.snapshot import Accepted, RoutingSnapshot

DOMAINS = {
    "example.org": "local",
    "example.net": "relay",
    "listed.example": "relay",
    "old.example": "alias example.org",
    ".sub.example": "relay",
    "lists.example": "local",
}
ROUTES = {
    "example.org": "maildir:/srv/{local_part}",
    "lists.example": "reject:only lists live here",
    "closed@example.org": "reject:gone fishing",
    ".sub.example": "smtp:[192.0.2.1]:25",
    "special@example.net": "lmtp:unix:/run/lmtp",
    "*": "mx",
}
ALIASES = {
    "postmaster@example.org": ["alice@example.org", "root@example.com"],
    "team@lists.example": ["alice@example.org", "x@example.com"],
    "all@lists.example": ["closed@example.org"],
    "@listed.example": ["caught@example.com"],
}
MAILBOXES = ["alice@example.org", "closed@example.org", "a/b@example.org", "known@listed.example"]


@pytest.fixture
def maps() -> MemoryMaps:
    return MemoryMaps(DOMAINS, ROUTES, aliases=ALIASES, mailboxes=MAILBOXES, postmaster="postmaster@example.org")


@pytest.fixture
def snapshot(maps: MemoryMaps) -> RoutingSnapshot:
    return Resolver(maps, "mx1.example.net")


def answer(snapshot: RoutingSnapshot, address: str, may_relay: bool = False) -> str | tuple[str, ...]:
    accepted = snapshot.accept(address, may_relay=may_relay)
    return str(accepted) if isinstance(accepted, Reply) else accepted.recipients


@pytest.mark.parametrize("address", ["alice@example.org", "Alice@EXAMPLE.org", '"alice"@example.org.', "x@example.net"])
def test_a_recipient_that_is_taken_keeps_the_form_it_was_given(snapshot: RoutingSnapshot, address: str) -> None:
    assert snapshot.accept(address, may_relay=False) == Accepted((address,))


@pytest.mark.parametrize(
    ("address", "reply"),
    [
        ("nobody@example.org", "550 5.1.1 no such user here"),
        ("nobody@old.example", "550 5.1.1 no such user here"),
        ("someone@elsewhere.example", "554 5.7.1 relay access denied"),
        ("alice@mail.example.org", "554 5.7.1 relay access denied"),
        ("x@sub.example", "554 5.7.1 relay access denied"),
        ("alice", "550 5.1.3 an address needs a domain"),
        ("alice@-ü.example", "550 5.1.2 this is not a domain name"),
        ("closed@example.org", "550 5.7.1 gone fishing"),
        ("all@lists.example", "550 5.7.1 gone fishing"),
        ("a/b@example.org", "550 5.1.3 this local part can't name a mailbox here"),
    ],
)
def test_a_recipient_that_is_not_taken_gets_its_reply(snapshot: RoutingSnapshot, address: str, reply: str) -> None:
    assert answer(snapshot, address) == reply


def test_a_client_that_may_relay_sends_anywhere_but_not_to_unknown_users(snapshot: RoutingSnapshot) -> None:
    assert answer(snapshot, "someone@elsewhere.example", may_relay=True) == ("someone@elsewhere.example",)
    assert answer(snapshot, "nobody@example.org", may_relay=True) == "550 5.1.1 no such user here"


def test_a_relay_domain_is_checked_only_if_addresses_of_it_are_listed(snapshot: RoutingSnapshot) -> None:
    assert answer(snapshot, "anybody@example.net") == ("anybody@example.net",)
    assert answer(snapshot, "known@listed.example") == ("known@listed.example",)
    assert answer(snapshot, "x@a.sub.example") == ("x@a.sub.example",)
    listing = Resolver(MemoryMaps({"example.net": "relay"}, mailboxes=["known@example.net"]))
    assert answer(listing, "unknown@example.net") == "550 5.1.1 no such user here"


def test_an_alias_of_a_whole_domain_takes_what_has_no_mailbox(snapshot: RoutingSnapshot) -> None:
    assert answer(snapshot, "unknown@listed.example") == ("caught@example.com",)


def test_an_alias_keeps_the_address_that_was_asked_for(snapshot: RoutingSnapshot) -> None:
    accepted = snapshot.accept("Team@lists.example", may_relay=False)
    assert accepted == Accepted(("alice@example.org", "x@example.com"), "Team@lists.example")
    assert snapshot.accept("Alice@old.example", may_relay=False) == Accepted(
        ("Alice@example.org",), "Alice@old.example"
    )


@pytest.mark.parametrize("local_part", ["victim%elsewhere.example", "elsewhere!victim", '"victim@elsewhere"'])
def test_an_untrusted_client_does_not_relay_through_the_next_host(snapshot: RoutingSnapshot, local_part: str) -> None:
    address = f"{local_part}@example.net"
    assert answer(snapshot, address) == "554 5.7.1 relay access denied"
    assert answer(snapshot, address, may_relay=True) == (address,)


def test_the_postmaster_without_a_domain_is_the_one_of_our_first_domain(snapshot: RoutingSnapshot) -> None:
    accepted = snapshot.accept("PostMaster", may_relay=False)
    assert accepted == Accepted(("alice@example.org", "root@example.com"), "PostMaster")


def test_the_postmaster_is_accepted_though_nobody_named_one() -> None:
    assert answer(Resolver(MemoryMaps(), "mx1.example.net"), "postmaster") == ("postmaster@mx1.example.net",)
    unlisted = MemoryMaps({"example.org": "local"}, ROUTES, postmaster="postmaster@example.org")
    assert answer(Resolver(unlisted), "postmaster") == ("postmaster@example.org",)


def test_an_alias_without_a_domain_says_who_the_postmaster_is() -> None:
    maps = MemoryMaps(aliases={"postmaster": ["admin@example.com"]})
    assert answer(Resolver(maps), "postmaster") == ("admin@example.com",)


def test_an_alias_that_leads_nowhere_is_put_off_until_it_is_mended() -> None:
    maps = MemoryMaps(
        {"example.org": "local"}, aliases={"a@example.org": ["b@example.org"], "b@example.org": ["a@example.org"]}
    )
    assert answer(Resolver(maps), "a@example.org").startswith("451 4.3.5 ")  # type: ignore[union-attr]
    looping = MemoryMaps(
        aliases={"postmaster": ["postmaster@localhost"], "postmaster@localhost": ["postmaster@localhost"]}
    )
    assert answer(Resolver(looping), "postmaster") == ("postmaster@localhost",)


@pytest.mark.parametrize(
    ("address", "destination"),
    [
        ("alice@example.org", "maildir"),
        ("closed@example.org", "reject"),
        ("special@example.net", "lmtp:unix:/run/lmtp"),
        ("SPECIAL@Example.net", "lmtp:unix:/run/lmtp"),
        ("other@example.net", "mx:example.net"),
        ("x@a.b.sub.example", "smtp:[192.0.2.1]:25"),
        ("x@sub.example", "mx:sub.example"),
        ("x@bücher.example", "mx:xn--bcher-kva.example"),
        ("x@[192.0.2.9]", "smtp:[192.0.2.9]:25"),
    ],
)
def test_a_route_is_found_by_address_then_domain_then_parent_then_star(
    snapshot: RoutingSnapshot, address: str, destination: str
) -> None:
    assert snapshot.route(address).destination == destination


def test_a_local_domain_never_goes_by_star() -> None:
    maps = MemoryMaps({"example.org": "local"}, {"*": "mx"}, mailboxes=["alice@example.org"])
    assert answer(Resolver(maps), "alice@example.org") == "550 5.4.4 no route leads there"
    with pytest.raises(TemporaryFailure) as caught:
        Resolver(maps).route("alice@example.org")
    assert str(caught.value.reply) == "451 4.4.4 no route leads there"


def test_a_recipient_without_a_possible_domain_has_no_route_for_good(snapshot: RoutingSnapshot) -> None:
    for address in ("alice", "alice@-ü.example"):
        with pytest.raises(PermanentFailure):
            snapshot.route(address)


def test_a_source_out_of_reach_is_temporary_and_not_remembered(maps: MemoryMaps) -> None:
    snapshot = Resolver(maps)
    maps.broken = True
    assert answer(snapshot, "alice@example.org") == "451 4.3.0 recipients can't be looked up now"
    with pytest.raises(TemporaryFailure):
        snapshot.route("alice@example.org")
    maps.broken = False
    assert answer(snapshot, "alice@example.org") == ("alice@example.org",)
    assert snapshot.route("alice@example.org").kind == "maildir"


def test_an_answer_is_looked_up_once(maps: MemoryMaps) -> None:
    snapshot = Resolver(maps)
    for _ in range(3):
        snapshot.accept("alice@example.org", may_relay=False)
        snapshot.route("alice@example.org")
        lookups = maps.lookups
    snapshot.client_rule("192.0.2.1")
    assert maps.lookups == lookups


def test_what_is_remembered_is_bounded(maps: MemoryMaps) -> None:
    snapshot = Resolver(maps)
    for number in range(REMEMBERED_ANSWERS + 10):
        snapshot.accept(f"a{number}@example.net", may_relay=False)
    lookups = maps.lookups
    snapshot.accept("a0@example.net", may_relay=False)
    assert maps.lookups > lookups


def test_a_client_has_the_rule_of_the_longest_network_that_it_is_in() -> None:
    clients = {"10.0.0.0/8": "relay", "10.1.0.0/16": "deny", "10.1.2.3": "submit", "2001:db8::/32": "relay"}
    snapshot = Resolver(MemoryMaps(clients=clients))  # type: ignore[arg-type]  # the words are rules
    rules = {ip: snapshot.client_rule(ip) for ip in ("10.9.9.9", "10.1.9.9", "10.1.2.3", "::ffff:10.1.2.3", "11.0.0.1")}
    assert rules == {
        "10.9.9.9": "relay",
        "10.1.9.9": "deny",
        "10.1.2.3": "submit",
        "::ffff:10.1.2.3": "submit",
        "11.0.0.1": "",
    }
    assert snapshot.client_rule("2001:db8::5") == "relay"
    assert snapshot.client_rule("not an address") == ""


@given(st.text(max_size=60) | st.emails(), st.booleans())
def test_any_address_gets_an_answer_and_strangers_never_relay(address: str, may_relay: bool) -> None:
    snapshot = Resolver(MemoryMaps(DOMAINS, ROUTES, aliases=ALIASES, mailboxes=MAILBOXES))
    accepted = snapshot.accept(address, may_relay=may_relay)
    if isinstance(accepted, Accepted) and not may_relay and address.lower() != "postmaster":
        assert address.rpartition("@")[2].rstrip(".").lower().endswith((*DOMAINS, ".sub.example"))
