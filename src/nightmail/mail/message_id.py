"""Message ids: the name under which a message is found in the queue, the log, the headers and the 250 reply."""

from __future__ import annotations

from nightmail.world import Clock, Randomness

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PAIRS = tuple(first + second for first in _DIGITS for second in _DIGITS)
_HIGH_PAIRS = 3
_TAG_PAIRS = 3


def _base36(number: int, pairs: int) -> str:
    """The last digits of a number, two at a time."""
    text = ""
    for _ in range(pairs):
        number, pair = divmod(number, 1296)
        text = _PAIRS[pair] + text
    return text


class MessageIds:
    """Makes ids of 16 characters that are ordered by time and unique in the cluster.

    Ten characters count microseconds since 1970, six are drawn once for each process: two processes would have to
    draw the same six out of 2 x 10^9 and use them in the same microsecond.
    """

    def __init__(self, clock: Clock, randomness: Randomness) -> None:
        self._clock = clock
        self._last = 0
        self._high = -1
        self._high_text = ""
        self._tag = _base36(int.from_bytes(randomness.token(8), "big"), _TAG_PAIRS)

    def next(self) -> str:
        """An id above every one before it, also when the wall clock was set back."""
        now = int(self._clock.wall() * 1_000_000)
        self._last = now = now if now > self._last else self._last + 1
        rest, pair = divmod(now, 1296)
        high, pair_before = divmod(rest, 1296)
        if high != self._high:  # which changes every second and a half
            self._high, self._high_text = high, _base36(high, _HIGH_PAIRS)
        return f"{self._high_text}{_PAIRS[pair_before]}{_PAIRS[pair]}{self._tag}"
