"""What the journal's writer takes in: messages that wait for their place in the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nightmail.errors import SwitchError
from nightmail.journal.records import BodyPlace
from nightmail.journal.state import LiveMessage
from nightmail.mail.envelope import Envelope
from nightmail.store.protocol import Buffer


class Arrival(Protocol):
    """A message whose sender waits for an answer.

    `body` holds the buffers of a body that goes into the segment; it is empty where `place.key` names an object
    that is durable already. `waits_since` is in elapsed seconds.
    """

    id: str
    envelope: Envelope
    arrival: float
    body: Sequence[Buffer]
    place: BodyPlace
    waits_since: float

    def claim(self) -> tuple[int, ...]:
        """The recipients for whom a send slot could be reserved now; called when the segment is sealed (J8)."""
        ...

    def unclaim(self) -> None:
        """Give back what `claim` reserved: the segment is not known to be ours. `claim` may be called again."""
        ...

    def answered(self) -> bool:
        """The message is durable and ours: answer 250. False: the session is gone, the message is to be voided (J1)."""
        ...

    def begin(self, message: LiveMessage) -> None:
        """It was answered, as were all that came with it: deliver."""
        ...

    def refused(self, error: SwitchError) -> None:
        """The message is not in the log and never will be: answer 4xx, give back what was claimed."""
        ...

    def left_unanswered(self) -> None:
        """Nobody can tell what becomes of the message: close the session without an answer (J3)."""
        ...
