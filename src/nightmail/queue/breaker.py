"""A breaker: leaves a destination alone that does not even let us in.

It counts failed connections, greetings and 421, never one message's 4xx: those speak about the message.

    state      connect_failed            session_opened   the time is over
    closed     the n-th in a row: open   count from zero  -
    open       a straggler: nothing      closed           one probe may go: half-open
    half-open  open, twice as long       closed           the probe never reported: another may go

"Half-open" lets one delivery through and waits for its verdict.
"""

from __future__ import annotations

from nightmail.queue.backoff import JITTER
from nightmail.queue.settings import QueueSettings
from nightmail.world import Randomness


class Breaker:
    """One destination's failures in a row, and how long it is to be left alone.

    While it is open, `until` is when the next probe may go; 0: at once. `last_failure` dates the count. `is_parked`
    is its keeper's note that a wake-up is set for it already. Times are seconds of `Clock.elapsed`.
    """

    __slots__ = ("_failures", "_pause_s", "_probing", "_randomness", "_settings", "is_parked", "last_failure", "until")

    def __init__(self, settings: QueueSettings, randomness: Randomness) -> None:
        self._settings = settings
        self._randomness = randomness
        self._failures = 0
        self._pause_s = 0.0
        self._probing = False
        self.until = 0.0
        self.last_failure = 0.0
        self.is_parked = False

    def go_by(self, settings: QueueSettings) -> None:
        """Judge the next failure by other settings; a pause that has begun keeps its length."""
        self._settings = settings

    @property
    def is_open(self) -> bool:
        """Whether anything but a probe is held back; half-open counts as open."""
        return self._pause_s > 0.0

    def allows(self, now: float) -> bool:
        """Whether a delivery may begin: any while closed, one probe at a time once an open one's time is over."""
        return self._pause_s == 0.0 or now >= self.until

    def probe(self, now: float) -> None:
        """A delivery was let through an open breaker: the next one waits for its verdict, but not for ever."""
        self._probing = True
        self.until = now + self._jittered()

    def abandon(self) -> None:
        """Every delivery under way ended, the probe too, and none reported: another probe may go at once."""
        if self._probing:
            self._probing = False
            self.until = 0.0

    def failed(self, now: float) -> None:
        """A connection could not be had. Stragglers that began before it opened change nothing."""
        self.last_failure = now
        self._failures += 1
        if self.is_open:
            if self._probing or now >= self.until:
                limit_s = min(self._settings.breaker_max_s, self._settings.retry_max_s)
                self._open(now, min(self._pause_s * 2, limit_s))
        elif self._failures >= self._settings.breaker_failures:
            settings = self._settings
            self._open(now, min(settings.breaker_first_s, settings.breaker_max_s, settings.retry_first_s))

    def _open(self, now: float, pause_s: float) -> None:
        self._pause_s = pause_s
        self._probing = False
        self.until = now + self._jittered()

    def _jittered(self) -> float:
        return self._pause_s * (1 - JITTER + 2 * JITTER * self._randomness.uniform())
