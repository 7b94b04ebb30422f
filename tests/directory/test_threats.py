"""What will go wrong with a replica is told in time, with what to do."""

from __future__ import annotations

import pytest

from nightmail.directory.threats import (
    ahead_s,
    is_numbered_ahead,
    warnings_of_room,
    warnings_of_time,
    without_numbers_ahead,
)

NOW = 1_795_608_000.0  # 2026-11-25 12:00:00 UTC
NUMBERED = "entryCSN: 20261125120000.000000Z#000000#001#000000\n"
AHEAD = "contextCSN: 20261125170000.000000Z#000000#001#000000\n"


def test_a_moment_is_as_far_ahead_as_it_says() -> None:
    assert ahead_s("20261125120000Z", NOW) == 0
    assert ahead_s("20261125170000.123456Z#000000#001#000000", NOW) == 5 * 3600
    assert ahead_s("20261125115959Z", NOW + 0.9) == -1


@pytest.mark.parametrize("seconds", [-2.0, 0.0, 2.0])
def test_a_clock_that_is_nearly_right_is_nothing_to_warn_of(seconds: float) -> None:
    assert [*warnings_of_time(seconds, seconds)] == []


def test_a_clock_is_warned_of_in_either_direction_and_numbers_only_if_they_are_ahead() -> None:
    [behind] = warnings_of_time(-7200.0, -7200.0)
    assert behind.startswith("its clock is -7,200 s off: set it right")
    first, second = warnings_of_time(7200.0, 7200.0)
    assert "+7,200 s" in first
    assert "7,200 s ahead of time" in second


def test_a_database_is_warned_of_once_it_is_nearly_full() -> None:
    assert [*warnings_of_room(90, 100)] == []
    [warning] = warnings_of_room(91, 100)
    assert warning.startswith("its database is 91% full")
    assert [*warnings_of_room(0, 0)] == []


def test_only_numbers_of_the_future_are_left_out_and_nothing_that_looks_like_one() -> None:
    lines = ["dn: o=x\n", "cn: entryCSN: 29991231000000.000000Z\n", NUMBERED, AHEAD, "\n"]
    assert is_numbered_ahead(lines, NOW)
    assert [*without_numbers_ahead(lines, NOW)] == [*lines[:3], "\n"]
    assert not is_numbered_ahead(without_numbers_ahead(lines, NOW), NOW)
