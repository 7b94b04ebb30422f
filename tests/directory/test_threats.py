"""What will go wrong with a replica is told in time, with what to do."""

from __future__ import annotations

import pytest

from nightmail.directory.threats import ahead_s, apart_s, numbered_anew, warnings_of_room, warnings_of_time

NOW = 1_795_608_000.0  # 2026-11-25 12:00:00 UTC
NUMBERED = "entryCSN: 20261125120000.499999Z#000000#001#000000\n"
AHEAD = "contextCSN: 20261125170000.000000Z#000000#001#000000\n"

AHEAD_TOO = "entryCSN: 20261125165959.999999Z#000000#002#000000\n"


def test_a_moment_is_as_far_ahead_as_it_says() -> None:
    assert ahead_s("20261125120000Z", NOW) == 0
    assert ahead_s("20261125170000.123456Z#000000#001#000000", NOW) == 5 * 3600
    assert ahead_s("20261125115959Z", NOW + 0.9) == -1


@pytest.mark.parametrize(
    ("shown", "before", "after", "apart"),
    [
        ("20261125120000Z", 0.2, 0.9, 0.0),
        ("20261125120001Z", 0.9, 1.1, 0.0),
        ("20261125120000Z", 0.9, 1.1, 0.0),
        ("20261125120003Z", 0.25, 0.75, 3.0),
        ("20261125115957Z", 0.25, 0.5, -2.875),
    ],
)
def test_a_clock_that_shows_whole_seconds_is_not_apart_where_it_may_be_right(
    shown: str, before: float, after: float, apart: float
) -> None:
    assert apart_s(shown, NOW + before, NOW + after) == apart


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


def test_numbers_of_the_future_become_numbers_of_now_and_how_far_all_goes_the_last_of_them() -> None:
    """The last change before now keeps its number, and how far all goes is beyond it."""
    lines = ["dn: o=x\n", "cn: entryCSN: 29991231000000.000000Z\n", NUMBERED, AHEAD, AHEAD_TOO, AHEAD_TOO, "\n"]
    assert [*numbered_anew(lines, NOW + 0.5)] == [
        *lines[:3],
        "contextCSN: 20261125120000.500000Z#ffffff#001#000000\n",
        "entryCSN: 20261125120000.500000Z#000001#002#000000\n",
        "entryCSN: 20261125120000.500000Z#000002#002#000000\n",
        "\n",
    ]
    assert [*numbered_anew(lines[:3], NOW + 0.5)] == lines[:3]
