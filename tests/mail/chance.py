"""Time and chance that a test decides."""

from __future__ import annotations


class FixedClock:
    """A `Clock` that a test sets."""

    def __init__(self, wall: float = 1_700_000_000.0) -> None:
        self.now = wall

    def wall(self) -> float:
        return self.now

    def elapsed(self) -> float:
        return self.now


class FixedChance:
    """A `Randomness` that answers from a list of tokens."""

    def __init__(self, *tokens: bytes) -> None:
        self.tokens = list(tokens)

    def uniform(self) -> float:
        return 0.5

    def token(self, size_bytes: int) -> bytes:
        return self.tokens.pop(0)[:size_bytes]
