"""How long to wait before a switch that died is started again."""

from __future__ import annotations

_SECOND_S = 0.1
_MAX_S = 10.0
_GOOD_LIFE_S = 5.0  # what dies of its start, or of what it takes up then, is dead sooner


class RestartPatience:
    """At once the first time, soon the second, and twice as long after every further early death; never over 10 s."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def after_death(self, lived_s: float) -> float:
        """Seconds to wait, for a switch that lived this long."""
        if lived_s >= _GOOD_LIFE_S:
            self._next_s = 0.0
        delay_s = self._next_s
        self._next_s = min(_MAX_S, max(_SECOND_S, 2 * delay_s))
        return delay_s
