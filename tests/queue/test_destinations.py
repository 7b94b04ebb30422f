from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.queue.chance import Chance

from nightmail.queue.destinations import FRESH, REPORT, RETRY, Destinations
from nightmail.queue.settings import QueueSettings

A, B, C = "mx:a.example", "mx:b.example", "smtp:[127.0.0.1]:2526"


def some_destinations(each: int = 2, total: int = 10, failures: int = 2) -> Destinations[str]:
    settings = QueueSettings(destination_connections=each, total_connections=total, breaker_failures=failures)
    return Destinations(settings, Chance())


def take_all(destinations: Destinations[str], now: float = 0.0) -> list[str]:
    taken = []
    while (found := destinations.take(now)) is not None:
        taken.append(found[1])
    return taken


def opened(key: str = A, now: float = 0.0) -> Destinations[str]:
    destinations = some_destinations()
    destinations.connect_failed(key, now)
    assert destinations.connect_failed(key, now)
    return destinations


def test_slots_are_had_at_once_up_to_the_limit_of_a_destination() -> None:
    destinations = some_destinations(each=2)
    assert [destinations.reserve(A, 0) for _ in range(3)] == [True, True, False]
    assert destinations.reserve(B, 0)
    destinations.release(A)
    assert destinations.reserve(A, 0)


def test_slots_are_had_at_once_up_to_the_limit_in_all() -> None:
    destinations = some_destinations(each=2, total=3)
    assert [destinations.reserve(key, 0) for key in (A, A, B, B, C)] == [True, True, True, False, False]


def test_nobody_overtakes_who_waits_for_a_slot_there() -> None:
    destinations = some_destinations()
    destinations.enqueue(A, "first")
    assert not destinations.reserve(A, 0)
    assert destinations.take(0) == (A, "first")
    assert destinations.reserve(A, 0)


def test_fresh_mail_leaves_a_slot_of_the_total_to_each_destination_that_waits() -> None:
    destinations = some_destinations(total=2)
    destinations.reserve(A, 0)
    destinations.enqueue(B, "waits")
    assert not destinations.reserve(A, 0)
    assert destinations.take(0) == (B, "waits")


def test_a_slot_that_comes_free_goes_to_the_next_in_line() -> None:
    destinations = some_destinations(each=1)
    destinations.reserve(A, 0)
    destinations.enqueue(A, "1")
    destinations.enqueue(A, "2")
    assert destinations.take(0) is None
    destinations.release(A)
    assert destinations.take(0) == (A, "1")
    assert destinations.take(0) is None
    assert destinations.waiting_at(A) == 1


def test_destinations_take_turns_however_much_waits_for_one_of_them() -> None:
    destinations = some_destinations(each=100, total=100)
    for n in range(50):
        destinations.enqueue(A, f"a{n}")
    destinations.enqueue(B, "b0")
    destinations.enqueue(B, "b1")
    destinations.enqueue(C, "c0")
    assert [destinations.take(0) for _ in range(6)] == [
        (A, "a0"),
        (B, "b0"),
        (C, "c0"),
        (A, "a1"),
        (B, "b1"),
        (A, "a2"),
    ]


def test_fresh_mail_goes_before_retries_and_those_before_reports() -> None:
    destinations = some_destinations()
    destinations.enqueue(A, "report", REPORT)
    destinations.enqueue(A, "retry", RETRY)
    destinations.enqueue(A, "fresh", FRESH)
    assert take_all(destinations) == ["fresh", "retry"]


def test_fresh_mail_without_end_does_not_starve_the_rest() -> None:
    destinations = some_destinations()
    destinations.enqueue(A, "report", REPORT)
    for turn in range(8):
        destinations.enqueue(A, f"fresh {turn}")
        _, job = destinations.take(0) or ("", "")
        destinations.release(A)
        if job == "report":
            return
    pytest.fail("the report was never served")


def test_what_is_idle_is_forgotten() -> None:
    destinations = some_destinations()
    destinations.reserve(A, 0)
    destinations.enqueue(B, "b")
    assert len(destinations) == 2
    destinations.release(A)
    destinations.take(0)
    destinations.release(B)
    assert len(destinations) == 0


def test_a_slot_given_back_twice_is_a_broken_invariant() -> None:
    destinations = some_destinations()
    destinations.reserve(A, 0)
    destinations.enqueue(A, "waits")
    destinations.release(A)
    with pytest.raises(AssertionError, match="has not taken"):
        destinations.release(A)


def test_a_destination_that_lets_nobody_in_is_left_alone_and_the_others_are_not() -> None:
    destinations = opened(A)
    destinations.enqueue(A, "a")
    destinations.enqueue(B, "b")
    assert not destinations.reserve(A, 29)
    assert destinations.is_blocked(A, 29)
    assert not destinations.is_blocked(B, 29)
    assert take_all(destinations, now=29) == ["b"]


def test_its_waiting_jobs_are_drained_the_most_urgent_first() -> None:
    destinations = opened(A)
    destinations.enqueue(A, "retry", RETRY)
    destinations.enqueue(A, "fresh")
    assert destinations.drain(A) == ["fresh", "retry"]
    assert destinations.drain(A) == []
    assert (destinations.waiting, len(destinations)) == (0, 0)
    assert destinations.take(100) is None


def test_a_destination_fails_out_of_the_ring() -> None:
    destinations = some_destinations(failures=1)
    destinations.enqueue(A, "a")
    assert destinations.connect_failed(A, 0)
    assert destinations.take(0) is None
    assert destinations.take(30) == (A, "a")


def test_one_probe_goes_when_the_time_is_over_and_the_rest_follows_its_success() -> None:
    destinations = opened(A)
    for job in ("1", "2", "3"):
        destinations.enqueue(A, job)
    assert take_all(destinations, now=30) == ["1"]
    destinations.session_opened(A)
    assert take_all(destinations, now=30) == ["2"]
    destinations.release(A)
    assert take_all(destinations, now=30) == ["3"]


def test_a_failed_probe_blocks_for_twice_the_time() -> None:
    destinations = opened(A)
    destinations.enqueue(A, "1")
    destinations.enqueue(A, "2")
    assert take_all(destinations, now=30) == ["1"]
    assert destinations.connect_failed(A, 31)
    destinations.release(A)
    assert take_all(destinations, now=90) == []
    assert take_all(destinations, now=91) == ["2"]


def test_once_its_time_is_over_a_destination_is_blocked_no_more_and_mail_for_it_becomes_the_probe() -> None:
    destinations = opened(A)
    assert destinations.is_blocked(A, 29)
    assert not destinations.is_blocked(A, 30)
    destinations.enqueue(A, "probe")
    assert destinations.take(30) == (A, "probe")


def test_forgiven_destinations_are_tried_at_once() -> None:
    destinations = opened(A)
    destinations.enqueue(A, "waiting")
    assert destinations.take(0) is None
    destinations.forgive()
    assert not destinations.is_blocked(A, 0)
    assert destinations.take(0) == (A, "waiting")


def test_a_probe_that_ends_without_a_verdict_makes_way_for_the_next() -> None:
    destinations = opened(A)
    destinations.enqueue(A, "1")
    destinations.enqueue(A, "2")
    assert take_all(destinations, now=30) == ["1"]
    destinations.release(A)
    assert take_all(destinations, now=30) == ["2"]


def test_fresh_mail_may_be_the_probe_where_nothing_waits() -> None:
    destinations = opened(A)
    assert destinations.reserve(A, 30)
    assert not destinations.reserve(A, 31)
    destinations.session_opened(A)
    assert destinations.reserve(A, 31)


def test_failures_of_long_ago_are_forgotten() -> None:
    destinations = some_destinations(failures=2)
    destinations.connect_failed(A, 0)
    destinations.connect_failed(B, 10_000)
    assert not destinations.connect_failed(A, 10_001)


def test_breakers_without_number_are_not_remembered_without_number() -> None:
    destinations = some_destinations(failures=1)
    for n in range(10_100):
        destinations.enqueue(f"mx:{n}.example", str(n))
        destinations.connect_failed(f"mx:{n}.example", 0)
    assert len(destinations._breakers) == 10_000
    # The hundred that were forgotten may be tried again; none is lost.
    assert len([destinations.take(0) for _ in range(10)]) == 10
    assert destinations.waiting == 10_090


KEYS = st.sampled_from([A, B, C, "lmtp:unix:/s", "maildir"])


class DestinationsKeepTheirPromises(RuleBasedStateMachine):
    """Limits are never exceeded, no job is lost or doubled, and whoever may go gets its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.settings = QueueSettings(destination_connections=3, total_connections=7, breaker_failures=2)
        self.destinations: Destinations[int] = Destinations(self.settings, Chance())
        self.now = 0.0
        self.jobs = 0
        self.waiting: dict[int, str] = {}
        self.active: Counter[str] = Counter()
        self.probing: set[str] = set()

    @rule(key=KEYS)
    def reserve(self, key: str) -> None:
        was_blocked = self.destinations.is_blocked(key, self.now)
        if self.destinations.reserve(key, self.now):
            assert key not in self.waiting.values()
            assert not was_blocked
            self.active[key] += 1

    @rule(key=KEYS, priority=st.sampled_from([FRESH, RETRY, REPORT]))
    def enqueue(self, key: str, priority: int) -> None:
        self.jobs += 1
        self.waiting[self.jobs] = key
        self.destinations.enqueue(key, self.jobs, priority)

    @rule()
    def take(self) -> None:
        blocked = {key: self.destinations.is_blocked(key, self.now) for key in self.waiting.values()}
        found = self.destinations.take(self.now)
        if found is None:
            for key in set(self.waiting.values()):
                full = self.active[key] >= 3 or sum(self.active.values()) >= 7
                assert full or self.destinations.is_blocked(key, self.now)
            return
        key, job = found
        assert self.waiting.pop(job) == key
        assert not blocked[key]
        self.active[key] += 1

    @precondition(lambda self: +self.active)
    @rule(choice=st.randoms(use_true_random=False))
    def release(self, choice: object) -> None:
        key = choice.choice(sorted(+self.active))  # type: ignore[attr-defined]
        self.active[key] -= 1
        self.destinations.release(key)

    @rule(key=KEYS, drains=st.booleans())
    def fail(self, key: str, drains: bool) -> None:
        if self.destinations.connect_failed(key, self.now) and drains:
            drained = self.destinations.drain(key)
            assert sorted(drained) == sorted(job for job, at in self.waiting.items() if at == key)
            for job in drained:
                del self.waiting[job]

    @rule(key=KEYS)
    def succeed(self, key: str) -> None:
        self.destinations.session_opened(key)
        assert not self.destinations.is_blocked(key, self.now)

    @rule(seconds=st.floats(0, 100))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def limits_hold_and_nothing_is_lost(self) -> None:
        assert self.destinations.active == sum(self.active.values()) <= 7
        assert all(count <= 3 for count in self.active.values())
        assert self.destinations.waiting == len(self.waiting)
        assert len(self.destinations) == len(set(self.waiting.values()) | set(+self.active))

    def teardown(self) -> None:
        """Given time and slots, every job goes."""
        for key, count in self.active.items():
            for _ in range(count):
                self.destinations.release(key)
        self.now += 10_000
        while (found := self.destinations.take(self.now)) is not None:
            assert self.waiting.pop(found[1]) == found[0]
            self.destinations.session_opened(found[0])
            self.destinations.release(found[0])
        assert not self.waiting
        assert len(self.destinations) == 0


TestDestinationsKeepTheirPromises = DestinationsKeepTheirPromises.TestCase


def test_other_limits_hold_from_now_on_and_what_is_under_way_goes_on() -> None:
    destinations = some_destinations(each=3)
    for _ in range(3):
        assert destinations.reserve("a", 0.0)
    destinations.enqueue("a", "waits")
    destinations.go_by(QueueSettings(destination_connections=2, total_connections=10))
    destinations.release("a")
    assert destinations.take(0.0) is None
    destinations.release("a")
    assert destinations.take(0.0) == ("a", "waits")
    destinations.enqueue("a", "more")
    assert destinations.take(0.0) is None
    destinations.go_by(QueueSettings(destination_connections=3, total_connections=10))
    assert destinations.take(0.0) == ("a", "more")


def test_who_was_next_waits_where_the_limit_sinks_to_what_is_under_way() -> None:
    destinations = some_destinations(each=3)
    assert [destinations.reserve("a", 0.0) for _ in range(2)] == [True, True]
    destinations.enqueue("a", "waits")
    destinations.go_by(QueueSettings(destination_connections=2, total_connections=10))
    assert destinations.take(0.0) is None
    destinations.release("a")
    assert destinations.take(0.0) == ("a", "waits")
