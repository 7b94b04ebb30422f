"""Recipients are grouped by destination; who has no way is on no leg."""

from __future__ import annotations

from sim.life import SINK, Routes

from nightmail.errors import PermanentFailure, TemporaryFailure
from nightmail.mail.envelope import Envelope, Recipient
from nightmail.mail.reply import Reply
from nightmail.routing.route import Route
from nightmail.switch.planning import Leg, Plan, Stuck, plan

OTHER = Route(kind="smtp", host="other", port=25, destination="smtp:[other]:25")
NO_WAY = Reply(550, "5.4.4", "no way there")
NOT_NOW = Reply(451, "4.4.3", "the name can't be looked up now")


class Ways(Routes):
    """Routes by the domain."""

    def route(self, address: str) -> Route:
        match address.partition("@")[2]:
            case "other":
                return OTHER
            case "never":
                raise PermanentFailure(NO_WAY)
            case "later":
                raise TemporaryFailure(NOT_NOW)
            case mailbox if mailbox.startswith("box"):
                return Route(kind="maildir", path=f"/{mailbox}", destination="maildir")
        return SINK


def planned(*domains: str, recipients: tuple[int, ...] | None = None, limit: int = 100) -> Plan:
    envelope = Envelope("s@x", tuple(Recipient(f"r@{domain}") for domain in domains))
    wanted = tuple(range(len(domains))) if recipients is None else recipients
    return plan(envelope, wanted, Ways(), recipients_per_leg=limit)


def test_those_with_the_same_destination_go_together() -> None:
    assert planned("sink", "other", "sink", "other").legs == [Leg(SINK, (0, 2)), Leg(OTHER, (1, 3))]


def test_only_those_who_are_asked_for_go() -> None:
    assert planned("sink", "sink", "other", recipients=(1,)).legs == [Leg(SINK, (1,))]
    assert planned("sink", "sink", "other", recipients=(0, 1)).legs == [Leg(SINK, (0, 1))]


def test_so_many_at_a_time() -> None:
    legs = planned(*["sink"] * 5, limit=2).legs
    assert [leg.recipients for leg in legs] == [(0, 1), (2, 3), (4,)]


def test_maildirs_in_different_places_are_different_legs() -> None:
    legs = planned("box1", "box2", "box1").legs
    assert [(leg.route.path, leg.recipients) for leg in legs] == [("/box1", (0, 2)), ("/box2", (1,))]


def test_who_has_no_way_is_stuck_for_now_or_for_good() -> None:
    found = planned("never", "sink", "later")
    assert found.legs == [Leg(SINK, (1,))]
    assert found.stuck == [Stuck(0, NO_WAY, True), Stuck(2, NOT_NOW, False)]
    assert planned("never") == Plan([], [Stuck(0, NO_WAY, True)])
