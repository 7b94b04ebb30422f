"""Times, sizes and counts in the fewest words that tell enough."""

from __future__ import annotations

import re

_UNITS_S = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_LETTERS_S = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_duration = re.compile(r"(?:\d+(?:\.\d+)?(?:s|min|m|h|d|w))+").fullmatch
_part = re.compile(r"(\d+(?:\.\d+)?)(s|min|m|h|d|w)").findall


def span(seconds: float) -> str:
    """A length of time in its two largest units at most: `4 s`, `12 min`, `3 h 5 min`, `2 d 4 h`."""
    rest = max(0, round(seconds))
    for index, (name, unit_s) in enumerate(_UNITS_S):
        if rest >= unit_s:
            first, rest = divmod(rest, unit_s)
            below = _UNITS_S[index + 1] if index in (0, 1) else None
            second = rest // below[1] if below else 0
            return f"{first} {name} {second} {below[0]}" if below and second else f"{first} {name}"
    return "0 s"


def short_span(seconds: float) -> str:
    """A length of time in its largest unit: `4s`, `12m`, `3h`, `2d`."""
    rest = max(0, round(seconds))
    for name, unit_s in _UNITS_S:
        if rest >= unit_s:
            return f"{rest // unit_s}{name[0]}"
    return "0s"


def size(size_bytes: int) -> str:
    """A size in three digits or so: `812 B`, `4.2 K`, `37 M`."""
    if size_bytes < 1_000:
        return f"{size_bytes} B"
    number = float(size_bytes)
    for unit in "KMGT":
        number /= 1_024
        if number < 1_000 or unit == "T":
            return f"{number:.1f} {unit}" if number < 9.95 else f"{number:.0f} {unit}"
    raise ValueError(size_bytes)


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 message`, `12,345 messages`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def parse_duration(text: str) -> float:
    """Seconds in `90s`, `15m`, `4h`, `2d`, `1w` or several of these in a row.

    Raises:
        ValueError: it is none of these.
    """
    if not _duration(text):
        raise ValueError(f"{text!r} is no length of time; write for instance 90s, 15m, 4h or 2d")
    return sum(float(number) * _LETTERS_S[unit] for number, unit in _part(text))
