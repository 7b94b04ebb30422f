"""Timeouts for many at the price of one timer.

Each that waits for something keeps the time at which its patience ends in an attribute. One timer looks at all of
them now and then, so that a step of the dialogue costs an assignment and not a timer of its own.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Watched(Protocol):
    """Something whose patience ends."""

    deadline: float

    def expired(self) -> None:
        """The deadline has passed. Not told again unless the deadline is moved; may end the watch."""
        ...


class Deadlines:
    """Tells each that is watched when its deadline has passed: never early, and late by two ticks at most."""

    def __init__(self, tick_s: float = 0.5) -> None:
        self._tick_s = tick_s
        self._now = 0.0
        self._base = tick_s
        self._watched: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None

    def after(self, timeout_s: float) -> float:
        """The deadline that is `timeout_s` from now."""
        return self._base + timeout_s

    def watch(self, watched: Watched) -> None:
        """Look after it from now on."""
        self._watched.add(watched)
        if self._timer is None:
            self._wind()

    def forget(self, watched: Watched) -> None:
        """Look after it no more."""
        self._watched.discard(watched)

    def _wind(self) -> None:
        loop = asyncio.get_running_loop()
        self._now = loop.time()
        self._base = self._now + self._tick_s
        self._timer = loop.call_later(self._tick_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if not self._watched:
            return
        self._wind()
        for watched in [watched for watched in self._watched if watched.deadline <= self._now]:
            watched.deadline = float("inf")
            watched.expired()
