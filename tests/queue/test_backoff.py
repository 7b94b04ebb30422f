from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.queue.chance import Chance

from nightmail.queue.backoff import Backoff
from nightmail.queue.settings import QueueSettings
from nightmail.world import SystemRandomness

ARRIVAL = 1_700_000_000.0


def test_the_pause_doubles_up_to_the_longest() -> None:
    backoff = Backoff(QueueSettings(), Chance())
    pauses = [(backoff.next_attempt(n, ARRIVAL, ARRIVAL) or 0) - ARRIVAL for n in range(1, 8)]
    assert pauses == [300, 600, 1200, 2400, 3600, 3600, 3600]


@pytest.mark.parametrize(("chance", "pause_s"), [(0.0, 270), (0.5, 300), (1.0, 330)])
def test_the_pause_varies_by_a_tenth(chance: float, pause_s: float) -> None:
    backoff = Backoff(QueueSettings(), Chance(chance))
    assert backoff.next_attempt(1, ARRIVAL, ARRIVAL + 10) == pytest.approx(ARRIVAL + 10 + pause_s)


def test_a_message_is_given_up_at_its_expiry_and_not_before() -> None:
    backoff = Backoff(QueueSettings(expire_s=86_400), Chance())
    assert backoff.next_attempt(30, ARRIVAL, ARRIVAL + 86_399) == ARRIVAL + 86_400
    assert backoff.next_attempt(31, ARRIVAL, ARRIVAL + 86_400) is None


def test_a_patience_below_the_first_pause_gets_one_attempt_at_its_end() -> None:
    backoff = Backoff(QueueSettings(expire_s=5), Chance())
    assert backoff.next_attempt(1, ARRIVAL, ARRIVAL + 1) == ARRIVAL + 5


def test_a_report_expires_by_its_own_time_but_never_after_other_mail() -> None:
    assert Backoff(QueueSettings(bounce_expire_s=60), Chance()).expires_at(ARRIVAL, is_report=True) == ARRIVAL + 60
    assert Backoff(QueueSettings(expire_s=5), Chance()).expires_at(ARRIVAL, is_report=True) == ARRIVAL + 5


def test_the_delay_is_reported_once_its_time_has_come_or_never() -> None:
    assert Backoff(QueueSettings(), Chance()).delay_report_at(ARRIVAL) == ARRIVAL + 14_400
    assert Backoff(QueueSettings(delay_report_s=0), Chance()).delay_report_at(ARRIVAL) is None


@given(
    attempts=st.integers(1, 100_000),
    age_s=st.floats(-1e6, 431_999),
    first_s=st.floats(0.01, 3600),
    longest_s=st.floats(3600, 86_400),
)
def test_the_next_attempt_is_within_its_bounds(attempts: int, age_s: float, first_s: float, longest_s: float) -> None:
    settings = QueueSettings(retry_first_s=first_s, retry_max_s=longest_s)
    now = ARRIVAL + age_s
    next_attempt = Backoff(settings, SystemRandomness()).next_attempt(attempts, ARRIVAL, now)
    assert next_attempt is not None
    assert now < next_attempt <= min(now + longest_s * 1.1 + 0.001, ARRIVAL + settings.expire_s)


def test_every_message_is_given_up_after_finitely_many_attempts() -> None:
    backoff = Backoff(QueueSettings(retry_first_s=1), SystemRandomness())
    now, attempts = ARRIVAL, 1
    while (next_attempt := backoff.next_attempt(attempts, ARRIVAL, now)) is not None:
        now, attempts = next_attempt, attempts + 1
    assert now == ARRIVAL + 432_000
    assert 120 < attempts < 160
