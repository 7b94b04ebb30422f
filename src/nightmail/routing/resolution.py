"""From an address to its final recipients, and from a recipient to its route.

A RCPT command is decided in this order: is its domain ours to take (or the client's to use), does an alias domain give
it another name, does an alias give other recipients, is its mailbox known, does its route refuse it. An alias's targets
are not checked again: whoever keeps the source has refused those that lead nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

from nightmail.errors import DirectoryUnavailable, NotKnownYet, PermanentFailure, TemporaryFailure
from nightmail.mail.address import fold_domain, split
from nightmail.mail.reply import Reply
from nightmail.routing.expansion import ExpansionFailed, alias_of, domain_of, expand, is_deliverable
from nightmail.routing.model import ClientRule, Domain, Maps
from nightmail.routing.names import address_key, mailbox_key, parents
from nightmail.routing.networks import network_keys
from nightmail.routing.route import Route, maildir_path
from nightmail.routing.snapshot import Accepted

UNKNOWN_USER = Reply(550, "5.1.1", "no such user here")
BAD_DOMAIN = Reply(550, "5.1.2", "this is not a domain name")
NO_DOMAIN = Reply(550, "5.1.3", "an address needs a domain")
RELAY_DENIED = Reply(554, "5.7.1", "relay access denied")
NO_ROUTE = Reply(550, "5.4.4", "no route leads there")
NO_ROUTE_NOW = Reply(451, "4.4.4", "no route leads there")
LEADS_NOWHERE = Reply(451, "4.3.5", "this alias leads nowhere, its owner has to mend it")
UNKNOWN_NOW = Reply(451, "4.3.0", "recipients can't be looked up now")

POSTMASTER = "postmaster"
REMEMBERED_ANSWERS = 4096
_REMEMBERED_RECIPIENTS = 100

# Signs with which a local part asks the next host to send it on: an untrusted client could relay through that host.
_ROUTING_SIGNS = frozenset("@%!")

_Key = TypeVar("_Key")
_Answer = TypeVar("_Answer")


class Resolver:
    """A routing snapshot made of exact lookups; the answers to the last few thousand questions are remembered.

    `hostname` is where `<postmaster>` is when no domain is ours, `policies` what is said of `[queue]`.
    """

    def __init__(
        self, maps: Maps, hostname: str = "localhost", policies: Mapping[str, float] = MappingProxyType({})
    ) -> None:
        self.policies = policies
        self._maps = maps
        self._hostname = hostname
        self._accepted: dict[tuple[str, bool], Accepted | Reply] = {}
        self._routes: dict[str, Route] = {}
        self._domain_routes: dict[str, Route | None] = {}
        self._rules: dict[str, ClientRule] = {}

    def client_rule(self, ip: str) -> ClientRule:
        """What the client at this IP address may do, by the longest prefix that matches; empty: nothing special.

        Raises:
            DirectoryUnavailable: it can't be known now.
        """
        rule = self._rules.get(ip)
        if rule is None:
            rule = self._find_rule(ip)
            _remember(self._rules, ip, rule)
        return rule

    def accept(self, address: str, *, may_relay: bool) -> Accepted | Reply:
        """The final recipients of a RCPT command's address, or the reply that refuses it.

        `may_relay` says that the client may send anywhere; others reach only domains that are ours.

        Raises:
            NotKnownYet: it has to be looked up first.
        """
        answer = self._accepted.get((address, may_relay))
        if answer is None:
            answer = self._answer(address, may_relay)
        return answer

    def route(self, address: str) -> Route:
        """The way onward for a final recipient.

        Raises:
            NotKnownYet: it has to be looked up first.
            TemporaryFailure: there is none, or it can't be known now. Mail that was accepted waits for better tables.
        """
        route = self._routes.get(address)
        if route is None:
            route = self._route_now(address)
            _remember(self._routes, address, route)
        return route

    def forget(self) -> None:
        """Forget the answers: what they were made of may have changed."""
        self._accepted.clear()
        self._routes.clear()
        self._domain_routes.clear()
        self._rules.clear()

    def close(self) -> None:
        """The snapshot is asked no more."""
        self.forget()

    def _find_rule(self, ip: str) -> ClientRule:
        for network in network_keys(ip, self._maps.prefix_lengths):
            rule = self._maps.client(network)
            if rule:
                return rule
        return ""

    def _answer(self, address: str, may_relay: bool) -> Accepted | Reply:
        try:
            answer = self._decide(address, may_relay)
        except NotKnownYet:
            raise
        except DirectoryUnavailable:
            return UNKNOWN_NOW
        except (ExpansionFailed, ValueError):
            return LEADS_NOWHERE
        if isinstance(answer, Reply) or len(answer.recipients) <= _REMEMBERED_RECIPIENTS:
            _remember(self._accepted, (address, may_relay), answer)
        return answer

    def _decide(self, address: str, may_relay: bool) -> Accepted | Reply:
        local_part, domain = split(address)
        if not domain:
            return self._for_postmaster(address) if local_part.lower() == POSTMASTER else NO_DOMAIN
        try:
            domain = fold_domain(domain)
        except ValueError:
            return BAD_DOMAIN
        entry = domain_of(self._maps, domain)
        if not may_relay and not _may_anyone_send(entry, local_part):
            return RELAY_DENIED if entry is not None or self._maps.is_certain else UNKNOWN_NOW
        recipients = (address,) if entry is None else self._in_our_domain(address, domain, entry)
        if not recipients:
            return UNKNOWN_USER
        return self._refusal(recipients) or _accepted(recipients, address)

    def _in_our_domain(self, address: str, domain: str, entry: Domain) -> tuple[str, ...]:
        """The final recipients of an address in a domain that is ours, none if nobody has it."""
        local_part = split(address)[0]
        if entry.kind == "alias":
            domain, address = entry.target, f"{local_part}@{entry.target}"
        key = f"{mailbox_key(local_part)}@{domain}"
        targets = alias_of(self._maps, key, domain)
        if targets is not None:
            return expand(self._maps, key, targets)
        return (address,) if is_deliverable(self._maps, key, domain) else ()

    def _for_postmaster(self, address: str) -> Accepted:
        """`<postmaster>` is always accepted (RFC 5321 §4.5.1), and goes to whom it goes in the first of our domains.

        An alias `postmaster` without a domain says otherwise. Where no domain lists one, it is delivered by the first
        domain's route nevertheless.
        """
        home = self._maps.postmaster() or f"{POSTMASTER}@{self._hostname}"
        key = address_key(home)
        targets = self._maps.alias(POSTMASTER) or alias_of(self._maps, key, key.rpartition("@")[2])
        try:
            recipients = expand(self._maps, key, targets) if targets else (home,)
        except ExpansionFailed:
            recipients = (home,)
        return _accepted(recipients, address)

    def _refusal(self, recipients: tuple[str, ...]) -> Reply | None:
        """The reply with which the route of a lone recipient refuses it.

        Of several, those refused are reported by their delivery: the others must get the message.
        """
        if len(recipients) > 1:
            return None
        route = self._find_route(recipients[0])
        if route is None:
            return NO_ROUTE if self._maps.is_certain else UNKNOWN_NOW
        # It is asked for again when the message is to be sent.
        _remember(self._routes, recipients[0], route)
        if route.kind == "reject":
            return Reply(550, "5.7.1", route.text)
        if route.kind == "maildir":
            return _maildir_refusal(route.path, recipients[0])
        return None

    def _route_now(self, address: str) -> Route:
        try:
            route = self._find_route(address)
        except NotKnownYet:
            raise
        except DirectoryUnavailable as error:
            raise TemporaryFailure(UNKNOWN_NOW, str(error)) from error
        except ValueError as error:
            raise PermanentFailure(BAD_DOMAIN, str(error)) from error
        if route is None:
            raise TemporaryFailure(NO_ROUTE_NOW, f"no entry in routes matches {address}")
        return route

    def _find_route(self, address: str) -> Route | None:
        local_part, domain = split(address)
        if not domain:
            raise ValueError(f"{address!r} has no domain")
        domain = fold_domain(domain)
        route = self._maps.route(f"{mailbox_key(local_part)}@{domain}")
        if route is not None:
            return route.for_domain(domain)
        if domain not in self._domain_routes:
            _remember(self._domain_routes, domain, self._find_domain_route(domain))
        return self._domain_routes[domain]

    def _find_domain_route(self, domain: str) -> Route | None:
        keys = (domain, *parents(domain))
        route = next(filter(None, map(self._maps.route, keys)), None)
        if route is None:
            entry = domain_of(self._maps, domain)
            # A local domain never goes by `*`: its mail would be sent out and come straight back.
            route = None if entry and entry.kind == "local" else self._maps.route("*")
        return route and route.for_domain(domain)


def _may_anyone_send(entry: Domain | None, local_part: str) -> bool:
    if entry is None:
        return False
    return entry.kind == "local" or _ROUTING_SIGNS.isdisjoint(local_part)


def _accepted(recipients: tuple[str, ...], address: str) -> Accepted:
    return Accepted(recipients, "" if recipients == (address,) else address)


def _maildir_refusal(template: str, address: str) -> Reply | None:
    try:
        maildir_path(template, address)
    except PermanentFailure as failure:
        return failure.reply
    return None


def _remember(answers: dict[_Key, _Answer], key: _Key, answer: _Answer) -> None:
    """Keep an answer; when there are too many, all are forgotten: cheaper than to know which was used last."""
    if len(answers) >= REMEMBERED_ANSWERS:
        answers.clear()
    answers[key] = answer
