"""Message ids: the name under which a message is found in the queue, the log, the headers and the 250 reply."""

from __future__ import annotations

from nightmail.world import Clock, Randomness

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TIME_DIGITS = 10
_TAG_DIGITS = 6


def _base36(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 36)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


class MessageIds:
    """Makes ids of 16 characters that are ordered by time and unique in the cluster.

    Ten characters count microseconds since 1970, six are drawn once for each process: two processes would have to
    draw the same six out of 2 x 10^9 and use them in the same microsecond.
    """

    def __init__(self, clock: Clock, randomness: Randomness) -> None:
        self._clock = clock
        self._last = 0
        self._tag = _base36(int.from_bytes(randomness.token(8), "big"), _TAG_DIGITS)

    def next(self) -> str:
        """An id above every one before it, also when the wall clock was set back."""
        self._last = max(self._last + 1, int(self._clock.wall() * 1_000_000))
        return _base36(self._last, _TIME_DIGITS) + self._tag
