"""Dates as header fields and reports write them (RFC 5322 §3.3)."""

from __future__ import annotations

import time
from functools import lru_cache

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_END_OF_9999 = 253_402_300_799


def date_time(wall: float) -> str:
    """`Sun, 22 Nov 2026 15:09:28 +0000` for seconds of `Clock.wall`; always UTC, whatever the locale."""
    return _date_time(int(wall))


@lru_cache(maxsize=16)
def _date_time(second: int) -> str:
    year, month, day, hour, minute, second, weekday, *_ = time.gmtime(min(max(second, 0), _END_OF_9999))
    return f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04} {hour:02}:{minute:02}:{second:02} +0000"
