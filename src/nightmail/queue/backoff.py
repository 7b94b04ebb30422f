"""When to try again, when to give up, and when to tell the sender that it takes long (RFC 5321 §4.5.4.1)."""

from __future__ import annotations

from nightmail.queue.settings import QueueSettings
from nightmail.world import Randomness

JITTER = 0.1
_MOST_DOUBLINGS = 40


class Backoff:
    """Answers from a message's arrival and its number of attempts alone, so that nothing else needs to be kept.

    All times are seconds of `Clock.wall`.
    """

    def __init__(self, settings: QueueSettings, randomness: Randomness) -> None:
        self._settings = settings
        self._randomness = randomness

    def go_by(self, settings: QueueSettings) -> None:
        """Answer by other settings from now on."""
        self._settings = settings

    def next_attempt(self, attempts: int, arrival: float, now: float, *, is_report: bool = False) -> float | None:
        """When to try again after `attempts` (1 or more) that came to nothing; None: the message is to be given up.

        The last attempt falls on the moment of expiry, so that a short patience still gets its second chance.
        """
        expiry = self.expires_at(arrival, is_report=is_report)
        if now >= expiry:
            return None
        doublings = min(attempts - 1, _MOST_DOUBLINGS)
        pause_s: float = min(self._settings.retry_first_s * 2**doublings, self._settings.retry_max_s)
        jitter = 1 - JITTER + 2 * JITTER * self._randomness.uniform()
        return min(now + pause_s * jitter, expiry)

    def expires_at(self, arrival: float, *, is_report: bool = False) -> float:
        """When a message that arrived then is given up; what a report of delay calls Will-Retry-Until."""
        settings = self._settings
        return arrival + (min(settings.bounce_expire_s, settings.expire_s) if is_report else settings.expire_s)

    def delay_report_at(self, arrival: float) -> float | None:
        """From when on the sender is to be told, once, that the message still waits; None: never."""
        patience_s = self._settings.delay_report_s
        return arrival + patience_s if patience_s else None
