"""Times, sizes and counts as people read them."""

from __future__ import annotations

import pytest

from nightmail.cli.words import count, parse_duration, short_span, size, span


@pytest.mark.parametrize(
    ("seconds", "long", "short"),
    [
        (-3, "0 s", "0s"),
        (0.2, "0 s", "0s"),
        (59, "59 s", "59s"),
        (60, "1 min", "1m"),
        (3599, "59 min", "59m"),
        (3600, "1 h", "1h"),
        (3600 * 3 + 300, "3 h 5 min", "3h"),
        (86_400 * 2, "2 d", "2d"),
        (86_400 * 2 + 4 * 3600, "2 d 4 h", "2d"),
    ],
)
def test_a_span_is_told_in_its_largest_units(seconds: float, long: str, short: str) -> None:
    assert (span(seconds), short_span(seconds)) == (long, short)


@pytest.mark.parametrize(
    ("size_bytes", "told"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 K"), (4_300, "4.2 K"), (52_428_800, "50 M"), (3 << 50, "3072 T")],
)
def test_a_size_is_told_in_three_digits(size_bytes: int, told: str) -> None:
    assert size(size_bytes) == told


def test_a_count_agrees_with_its_noun() -> None:
    assert [count(number, "message") for number in (0, 1, 12_345)] == ["0 messages", "1 message", "12,345 messages"]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1.5h", 5_400), ("2d4h", 187_200), ("1w", 604_800)])
def test_a_length_of_time_can_be_written_in_several_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5x", "h", "-5m", "5 m"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no length of time; write for instance"):
        parse_duration(text)
