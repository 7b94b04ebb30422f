"""Clocks and chance that a test decides."""

from __future__ import annotations

import asyncio
import random

WALL_AT_ZERO_S = 1_700_000_000.0


class VirtualClock:
    """The clock of a process on a virtual loop; it may run at a rate of its own, and its time of day may be wrong."""

    def __init__(self, rate: float = 1.0) -> None:
        self.rate = rate
        self.wall_error_s = 0.0

    def elapsed(self) -> float:
        """The loop's time, as this clock counts it."""
        return asyncio.get_running_loop().time() * self.rate

    def wall(self) -> float:
        """A time of day that goes with it."""
        return WALL_AT_ZERO_S + self.elapsed() + self.wall_error_s


class HandClock:
    """A clock that stands until it is moved, for tests with real sockets."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def elapsed(self) -> float:
        """Where it was moved to."""
        return self.now_s

    def wall(self) -> float:
        """A time of day that goes with it."""
        return WALL_AT_ZERO_S + self.now_s


class SeededRandomness:
    """Chance from a seed: the same every time."""

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)

    def uniform(self) -> float:
        """A number from 0 up to but not including 1."""
        return self._chance.random()

    def token(self, size_bytes: int) -> bytes:
        """Bytes that no other call gives."""
        return self._chance.randbytes(size_bytes)
