"""Time and randomness as arguments, and the real ones.

Nothing else in nightmail may ask the machine what time it is or for a random number: everything that needs to
know is given a `Clock` and a `Randomness`, so that one seed replays a whole run.
"""

from __future__ import annotations

import os
import random
import time
from typing import Protocol


class Clock(Protocol):
    """Tells the two kinds of time apart."""

    def elapsed(self) -> float:
        """Seconds since some fixed instant, counted on through suspension: for leases and timeouts."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 in UTC, as the administrator set it: for headers, logs and retry times (J12)."""
        ...


class Randomness(Protocol):
    """The chance that jitter, nonces and identifiers are made of."""

    def uniform(self) -> float:
        """A number from 0 up to but not including 1."""
        ...

    def token(self, size_bytes: int) -> bytes:
        """Bytes nobody can guess."""
        ...


class SystemClock:
    """The machine's clocks."""

    def elapsed(self) -> float:
        """CLOCK_BOOTTIME: goes on while the machine is suspended, never jumps."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """The system's time of day."""
        return time.time()


class SystemRandomness:
    """The operating system's randomness."""

    def uniform(self) -> float:
        """A number from 0 up to but not including 1."""
        return random.random()

    def token(self, size_bytes: int) -> bytes:
        """Bytes from the kernel's generator."""
        return os.urandom(size_bytes)
