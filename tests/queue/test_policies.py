"""Policies stand in place of what a file says of its queue, and are followed while mail waits."""

from __future__ import annotations

import pytest
from tests.queue.chance import Chance

from nightmail.errors import ConfigInvalid
from nightmail.queue.backoff import Backoff
from nightmail.queue.destinations import Destinations
from nightmail.queue.policies import POLICIES, check_policy, parse_number, with_policies
from nightmail.queue.settings import QueueSettings

FILE = QueueSettings(retry_first_s=10, retry_max_s=20, expire_s=1000, handover_wait_s=3)


def test_a_policy_stands_in_place_of_the_files_value_and_the_rest_stays() -> None:
    there = with_policies(FILE, {"retry_max_s": 15, "total_connections": 7})
    assert there == QueueSettings(
        retry_first_s=10, retry_max_s=15, expire_s=1000, total_connections=7, handover_wait_s=3
    )  # fmt: skip
    assert with_policies(FILE, {}) == FILE


def test_what_contradicts_itself_with_the_file_is_refused_with_both_values() -> None:
    with pytest.raises(ConfigInvalid, match=r"retry_max_s \(20\) is less than retry_first_s \(30\)"):
        with_policies(FILE, {"retry_first_s": 30})
    assert with_policies(FILE, {"retry_first_s": 30, "retry_max_s": 30}).retry_first_s == 30


def test_how_long_a_server_that_stops_waits_is_no_policy() -> None:
    assert set(QueueSettings.__struct_fields__) - set(POLICIES) == {"handover_wait_s"}


@pytest.mark.parametrize("name", POLICIES)
def test_the_values_that_a_file_may_have_are_those_of_a_policy(name: str) -> None:
    check_policy(name, "1", "here")
    least = 0 if name == "delay_report_s" else 1
    with pytest.raises(ConfigInvalid, match="here"):
        check_policy(name, "-1" if least == 0 else "0", "here")


@pytest.mark.parametrize("text", ["5", "0.001", "123456789.123", "0.5", "999999999"])
def test_a_number_is_read_back_from_its_own_text(text: str) -> None:
    assert str(parse_number(text, "here")) == text


def test_the_next_attempt_follows_other_settings() -> None:
    backoff = Backoff(FILE, Chance())
    assert backoff.next_attempt(1, 0, 0) == 10
    backoff.go_by(with_policies(FILE, {"retry_first_s": 5, "expire_s": 500}))
    assert backoff.next_attempt(1, 0, 0) == 5
    assert backoff.expires_at(0) == 500


def test_a_destination_that_fails_already_is_left_alone_as_other_settings_say() -> None:
    destinations: Destinations[str] = Destinations(QueueSettings(breaker_failures=5), Chance())
    assert not destinations.connect_failed("a", 0.0)
    destinations.go_by(QueueSettings(breaker_failures=2, breaker_first_s=7))
    assert destinations.connect_failed("a", 0.0)
    assert destinations.is_blocked("a", 6.9)
    assert not destinations.is_blocked("a", 7.1)


def test_the_limit_of_all_destinations_together_follows_other_settings() -> None:
    destinations: Destinations[str] = Destinations(QueueSettings(total_connections=1), Chance())
    assert [destinations.reserve(key, 0.0) for key in "ab"] == [True, False]
    destinations.go_by(QueueSettings(total_connections=2))
    assert [destinations.reserve(key, 0.0) for key in "bc"] == [True, False]


def test_failures_are_forgotten_as_other_settings_say() -> None:
    long, short = (QueueSettings(breaker_failures=2, breaker_first_s=1, breaker_max_s=most) for most in (1000, 10))
    destinations: Destinations[str] = Destinations(long, Chance())
    assert not destinations.connect_failed("a", 0.0)
    destinations.go_by(short)
    assert not destinations.connect_failed("b", 21.0)
    assert not destinations.connect_failed("a", 22.0), "the first one counts no more"
    assert destinations.connect_failed("a", 23.0)


@pytest.mark.parametrize("text", ["0.1234", "1234567890", "1.", ".5", "-1", "1e3", ""])
def test_a_number_that_would_not_be_read_back_from_its_own_text_is_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid, match="at most three decimals"):
        parse_number(text, "here")
