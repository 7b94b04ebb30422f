"""Two hosts under one name: found by a queue that moves though nobody here runs it, and ended by the later one.

Nothing is lost by it, for queues have one owner whatever it is called. But each host would take the other's restarts
for its own, and whoever reads a log or a status for one of two.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import structlog

from nightmail.errors import ConfigInvalid
from nightmail.journal.keys import QueueName

log = structlog.get_logger()


class Namesakes:
    """Tells lives of our own from those of another host.

    `lives` is the directory in which every process of ours leaves a file named after its incarnation, `running` the
    queues that are run here. `give_up` ends this server.
    """

    def __init__(
        self, server: str, lives: str, running: Callable[[], Iterable[str]], give_up: Callable[[ConfigInvalid], None]
    ) -> None:
        self._server = server
        self._lives = lives
        self._running = running
        self._give_up = give_up
        self._told: set[str] = set()

    def met(self, queue: str, incarnation: str) -> None:
        """Somebody of our name writes a queue that is not known to be run here: give up if we came later."""
        if not incarnation or incarnation in self._told or os.path.exists(os.path.join(self._lives, incarnation)):
            return
        other = QueueName.parse(queue)
        ours = [name for each in self._running() if (name := QueueName.parse(each)) and name.server == self._server]
        if other is None or other.server != self._server or not ours:
            return
        self._told.add(incarnation)
        # Generations are counted in the store: who has the higher one of two that are written started later.
        alike = [name.generation for name in ours if name.switch == other.switch]
        came_later = max(alike or [name.generation for name in ours]) > other.generation
        if came_later:
            wrong = f"another host runs under the name {self._server}: it writes the queue {queue}"
            self._give_up(ConfigInvalid("[server] name", wrong, "give every host a name of its own"))
        else:
            log.critical("another host has our name", queue=queue, incarnation=incarnation,
                         remedy="it came later, and ends by itself; give it a name of its own")  # fmt: skip
