"""What a queue holds when it becomes ours, sorted by the time of its next attempt while the queue is served already.

There may be a million messages: in one go they would keep everything else waiting, the next segment too, and with it
the right to deliver.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING

from nightmail.journal.state import LiveMessage

if TYPE_CHECKING:
    from nightmail.switch.owned import OwnedQueue

_STEP = 2_000


class Backlog:
    """The messages of `queue` that were there before us, until each waits for its time.

    What was under way, or has a drop file, goes first: nothing is known of the one, and the other may not be picked up
    again.
    """

    def __init__(self, queue: OwnedQueue) -> None:
        self._queue = queue
        unsorted: list[LiveMessage] = []
        for message in queue.journal.state.messages.values():
            if message.drop:
                queue.open_drops.add(message.id)
            if message.claimed or message.drop:
                queue.waiting.wait(message, 0.0)
            else:
                unsorted.append(message)
        self._unsorted = iter(unsorted)

    def sort_in(self, limit: int | None = _STEP) -> bool:
        """Have as many messages wait for their time, by default a step; whether there may be more of them."""
        queue, messages = self._queue, self._queue.journal.state.messages
        step = list(islice(self._unsorted, limit))
        for message in step:
            # It may have been ended, held, hurried or taken up since.
            is_idle = not message.held and not message.wait_until and message.id not in queue.rounds
            if is_idle and messages.get(message.id) is message:
                queue.waiting.wait(message, message.next_attempt)
        return len(step) == limit

    async def sort_in_rest(self) -> None:
        """Have all of them wait for their time, a step in each turn of the loop."""
        is_more = True
        while is_more:
            await asyncio.sleep(0)
            is_more = self.sort_in()
