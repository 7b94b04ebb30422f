"""Which recipients go which way: routes are resolved anew at each attempt (J13)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from nightmail.errors import DeliveryFailed, NotKnownYet, PermanentFailure
from nightmail.mail.envelope import Envelope
from nightmail.mail.reply import Reply
from nightmail.routing.route import Route
from nightmail.routing.snapshot import RoutingSnapshot


class Leg(msgspec.Struct, frozen=True):
    """One transaction to be made: the route, and the recipients' places in the envelope."""

    route: Route
    recipients: tuple[int, ...]


class Stuck(msgspec.Struct, frozen=True):
    """A recipient that no attempt can be made for now."""

    recipient: int
    reply: Reply
    is_permanent: bool


class Plan(msgspec.Struct, frozen=True):
    """The legs of one round, and who is on none of them."""

    legs: list[Leg]
    stuck: list[Stuck]


def plan(
    envelope: Envelope, recipients: tuple[int, ...], snapshot: RoutingSnapshot, *, recipients_per_leg: int
) -> Plan:
    """Group `recipients` by destination, so many at a time. Raises: NotKnownYet: a route has to be looked up first."""
    if len(recipients) == 1:
        return _plan_one(envelope, recipients, snapshot)
    by_destination: dict[str, tuple[Route, list[int]]] = {}
    stuck: list[Stuck] = []
    for index in recipients:
        route = _route(envelope, index, snapshot)
        if isinstance(route, Stuck):
            stuck.append(route)
        else:
            by_destination.setdefault(route.destination + route.path, (route, []))[1].append(index)
    legs = [
        Leg(route, tuple(indexes[start : start + recipients_per_leg]))
        for route, indexes in by_destination.values()
        for start in range(0, len(indexes), recipients_per_leg)
    ]
    return Plan(legs, stuck)


def _plan_one(envelope: Envelope, recipients: tuple[int, ...], snapshot: RoutingSnapshot) -> Plan:
    route = _route(envelope, recipients[0], snapshot)
    return Plan([], [route]) if isinstance(route, Stuck) else Plan([Leg(route, recipients)], [])


def look_at_routes(addresses: Iterable[str], snapshot: RoutingSnapshot) -> None:
    """Ask for the routes of all these addresses, whatever they are. Raises: NotKnownYet: of all that are missing."""
    missing: list[str] = []
    for address in addresses:
        try:
            snapshot.route(address)
        except NotKnownYet as error:
            missing.extend(error.keys)
        except DeliveryFailed:
            continue  # it is told when the attempt is made
    if missing:
        raise NotKnownYet(missing)


def _route(envelope: Envelope, index: int, snapshot: RoutingSnapshot) -> Route | Stuck:
    try:
        return snapshot.route(envelope.recipients[index].address)
    except DeliveryFailed as failure:
        return Stuck(index, failure.reply, isinstance(failure, PermanentFailure))
