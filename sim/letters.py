"""Messages as the journal sees them come in, with clients who note what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import google_crc32c

from nightmail.errors import SwitchError
from nightmail.journal.records import BodyPlace
from nightmail.journal.state import LiveMessage
from nightmail.mail.envelope import Envelope, Recipient
from nightmail.store.protocol import Buffer
from sim.checkers import Ledger
from sim.world import WALL_AT_ZERO_S


def envelope_of(message_id: str, recipients: int = 1, sender: str | None = None, drop: str = "") -> Envelope:
    """An envelope to so many recipients, from a sender of the message's own."""
    addresses = tuple(Recipient(f"r{index}@example.net") for index in range(recipients))
    return Envelope(f"{message_id.lower()}@example.org" if sender is None else sender, addresses, drop=drop)


class Letter:
    """An `Arrival` for the journal; its client may hang up at any time, and notes every answer."""

    def __init__(
        self,
        message_id: str,
        ledger: Ledger | None = None,
        *,
        body: bytes = b"Subject: hello\r\n\r\nhello\r\n",
        claims: tuple[int, ...] = (),
        envelope: Envelope | None = None,
        place: BodyPlace | None = None,
    ) -> None:
        self.id = message_id
        self.envelope = envelope or envelope_of(message_id)
        self.arrival = WALL_AT_ZERO_S
        self.place = place or BodyPlace(len(body), google_crc32c.value(body))
        self.body: Sequence[Buffer] = () if self.place.key else (body,)
        self.waits_since = asyncio.get_running_loop().time()
        self.answers: list[str] = []
        self.error: SwitchError | None = None
        self.message: LiveMessage | None = None
        self.is_gone = False
        self._ledger = ledger or Ledger()
        self._claims = claims

    def claim(self) -> tuple[int, ...]:
        """What the test said."""
        return self._claims

    def unclaim(self) -> None:
        """Nothing was reserved."""

    def answered(self) -> bool:
        """Hear 250, unless nobody is there any more."""
        if self.is_gone:
            self._ledger.gone.add(self.id)
            self.answers.append("gone")
            return False
        self._ledger.acknowledge(self.id, len(self.envelope.recipients))
        self.answers.append("250")
        return True

    def begin(self, message: LiveMessage) -> None:
        """Be delivered."""
        self.message = message

    def refused(self, error: SwitchError) -> None:
        """Hear 451."""
        self.error = error
        self._ledger.refused.add(self.id)
        self.answers.append("451")

    def left_unanswered(self) -> None:
        """Hear nothing, and be cut off."""
        self.is_gone = True
        self._ledger.unanswered.add(self.id)
        self.answers.append("unanswered")
