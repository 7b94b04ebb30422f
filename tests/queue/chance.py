"""Chance that a test decides."""

from __future__ import annotations


class Chance:
    """A `Randomness` that always answers the same."""

    def __init__(self, uniform: float = 0.5) -> None:
        self.value = uniform

    def uniform(self) -> float:
        return self.value

    def token(self, size_bytes: int) -> bytes:
        return b"\x00" * size_bytes
