"""Waiting for a thing itself instead of for a length of time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

PATIENCE_S = 60.0
"""How long a test waits for what only has to come, on a machine that does much else. What was promised for a time has
that time for its bound.
"""


def until(look: Callable[[], _T], what: str, timeout_s: float = PATIENCE_S, every_s: float = 0.02) -> _T:
    """What `look()` returns as soon as that is true; fails with `what` and the last look after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        if seen := look():
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout_s} s; last seen: {seen!r}")
        time.sleep(every_s)
