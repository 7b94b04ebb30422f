from __future__ import annotations

import msgspec
import pytest
from tests.queue.chance import Chance

from nightmail.queue.breaker import Breaker
from nightmail.queue.settings import QueueSettings


def a_breaker(failures: int = 0, **settings: float) -> Breaker:
    breaker = Breaker(msgspec.structs.replace(QueueSettings(breaker_failures=3), **settings), Chance())
    for _ in range(failures):
        breaker.failed(0)
    return breaker


@pytest.mark.parametrize(("failures", "is_open"), [(0, False), (2, False), (3, True)])
def test_it_opens_at_the_last_of_the_failures_it_bears(failures: int, is_open: bool) -> None:
    breaker = a_breaker(failures)
    assert breaker.is_open is is_open
    assert breaker.allows(29.9) is not is_open
    assert breaker.allows(30)


def test_stragglers_of_the_attempts_that_opened_it_change_nothing() -> None:
    breaker = a_breaker(3)
    for _ in range(17):
        breaker.failed(1)
    assert breaker.until == 30


def test_one_probe_is_let_through_and_the_next_waits_for_its_verdict() -> None:
    breaker = a_breaker(3)
    breaker.probe(31)
    assert not breaker.allows(32)
    assert breaker.is_open


def test_a_probe_that_never_reports_does_not_close_the_way_for_ever() -> None:
    breaker = a_breaker(3)
    breaker.probe(31)
    assert breaker.allows(61)


def test_a_failed_probe_doubles_the_time_up_to_the_longest() -> None:
    breaker = a_breaker(3)
    now, pauses = 30.0, []
    for _ in range(7):
        breaker.probe(now)
        breaker.failed(now)
        pauses.append(breaker.until - now)
        now = breaker.until
    assert pauses == [60, 120, 240, 480, 600, 600, 600]


def test_a_probe_whose_failure_is_told_after_its_slot_was_given_back_counts_all_the_same() -> None:
    breaker = a_breaker(3)
    breaker.probe(31)
    breaker.abandon()
    assert breaker.allows(31)
    breaker.failed(31)
    assert breaker.until == 91


def test_an_abandoned_probe_makes_way_for_another() -> None:
    breaker = a_breaker(3)
    breaker.probe(31)
    breaker.abandon()
    assert breaker.allows(31)
    assert breaker.is_open


def test_it_is_never_open_for_longer_than_the_pause_between_two_attempts() -> None:
    breaker = a_breaker(3, retry_first_s=1, retry_max_s=1)
    assert breaker.until == 1
    breaker.probe(1)
    breaker.failed(1)
    assert breaker.until == 2


@pytest.mark.parametrize(("chance", "pause_s"), [(0.0, 27), (1.0, 33)])
def test_its_time_varies_by_a_tenth_so_that_servers_do_not_knock_together(chance: float, pause_s: float) -> None:
    breaker = Breaker(QueueSettings(breaker_failures=1), Chance(chance))
    breaker.failed(0)
    assert breaker.until == pytest.approx(pause_s)
