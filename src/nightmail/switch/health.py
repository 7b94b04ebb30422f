"""What transports tell about destinations: when one is left alone, what waits for it is deferred."""

from __future__ import annotations

from collections import OrderedDict

from nightmail.mail.reply import Reply
from nightmail.queue.destinations import Destinations
from nightmail.switch.attempts import Attempt
from nightmail.world import Clock

_MOST_REMEMBERED = 10_000
_UNKNOWN = Reply(451, "4.4.1", "the destination is not being tried at the moment: its last connections failed")


class DestinationHealth:
    """The transports' `Health`: moves the breakers, and remembers why a destination is left alone."""

    def __init__(self, destinations: Destinations[Attempt], clock: Clock) -> None:
        self._destinations = destinations
        self._clock = clock
        self._reasons: OrderedDict[str, Reply] = OrderedDict()

    def connect_failed(self, destination: str, reply: Reply) -> None:
        """No session could be opened there; what waits is deferred once that is so for the breaker."""
        self._reasons[destination] = reply
        self._reasons.move_to_end(destination)
        if len(self._reasons) > _MOST_REMEMBERED:
            self._reasons.popitem(last=False)
        if self._destinations.connect_failed(destination, self._clock.elapsed()):
            for attempt in self._destinations.drain(destination):
                attempt.round.queue.defer(attempt, reply)

    def session_opened(self, destination: str) -> None:
        """A session is open there."""
        self._reasons.pop(destination, None)
        self._destinations.session_opened(destination)

    def reason(self, destination: str) -> Reply:
        """Why the destination is left alone."""
        return self._reasons.get(destination, _UNKNOWN)
