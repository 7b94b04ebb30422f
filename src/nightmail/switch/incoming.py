"""A message on its way into the journal, and whoever waits for the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from nightmail.errors import SwitchError
from nightmail.journal.records import BodyPlace
from nightmail.journal.state import LiveMessage, every
from nightmail.mail.envelope import Envelope
from nightmail.store.protocol import Buffer
from nightmail.switch.attempts import Round
from nightmail.switch.fresh import FreshAllowance, FreshBody
from nightmail.switch.maillog import log_acceptance

if TYPE_CHECKING:
    from nightmail.switch.owned import OwnedQueue


class Sender(Protocol):
    """Who handed a message over and waits to hear of it."""

    def accepted(self, message_id: str) -> bool:
        """The message is ours now: say so. False: nobody is there any more to be told."""
        ...

    def refused(self, error: SwitchError) -> None:
        """The message is not ours and never will be."""
        ...

    def left_unanswered(self) -> None:
        """Nobody can tell: end the dialogue without an answer."""
        ...


class Incoming:
    """One message that is to be accepted; the journal's `Arrival`.

    `data` is the whole message with our Received header, or empty where `place` names an object of its own.
    """

    __slots__ = (
        "_allowance", "_data", "_round", "arrival", "body", "envelope", "id", "place", "queue", "sender", "waits_since",
    )  # fmt: skip

    def __init__(
        self,
        message_id: str,
        envelope: Envelope,
        data: bytes,
        place: BodyPlace,
        *,
        arrival: float,
        waits_since: float,
        sender: Sender,
        queue: OwnedQueue,
        allowance: FreshAllowance,
    ) -> None:
        self.id = message_id
        self.envelope = envelope
        self.place = place
        self.body: Sequence[Buffer] = (data,)
        self.arrival = arrival
        self.waits_since = waits_since
        self.sender = sender
        self.queue = queue
        self._data = data
        self._allowance = allowance
        self._round: Round | None = None

    def claim(self) -> tuple[int, ...]:
        """Plan the first round and reserve what can be had; a drop file must be gone before any claim."""
        round_ = self._round = Round(self.queue, self.id, self.envelope, self.arrival, 1)
        self.queue.prepare(round_, every(len(self.envelope.recipients)))
        return () if self.envelope.drop else self.queue.reserve(round_)

    def answered(self) -> bool:
        """Whether the sender could be told that the message is ours."""
        return self.sender.accepted(self.id)

    def begin(self, message: LiveMessage) -> None:
        """Deliver, by what was planned and reserved when it was sealed."""
        round_, self._round = self._round, None
        if round_ is None:
            raise RuntimeError(f"message {self.id} is to be delivered and was never sealed")
        log_acceptance(self.id, self.envelope, self.place.size_bytes)
        if message.drop:
            self.queue.postpone(message)
            return
        self._keep_body(round_)
        self.queue.begin(round_, message)

    def unclaim(self) -> None:
        """Give back what was reserved."""
        round_, self._round = self._round, None
        if round_ is not None:
            self.queue.unreserve(round_)

    def readdress(self, queue: OwnedQueue) -> None:
        """The queue it was sealed for is lost and it is not there: it goes into another one (J3)."""
        self.queue = queue

    def refused(self, error: SwitchError) -> None:
        """Pass the refusal on; a body of its own is not needed any more."""
        if self.place.key:
            self.queue.journal.state.finished_aside.append(self.id)
        self.sender.refused(error)

    def left_unanswered(self) -> None:
        """Pass it on; what was reserved stays so until the fate of the message is known."""
        self.sender.left_unanswered()

    def _keep_body(self, round_: Round) -> None:
        if self.place.key:
            round_.body = self.queue.fetcher.aside(self.place)
        elif self._allowance.take(len(self._data)):
            round_.body = FreshBody(self._data)
            round_.fresh_bytes = len(self._data)
