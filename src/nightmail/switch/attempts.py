"""One round of attempts for one message, and the attempts it is made of.

A message that is accepted, or whose time has come, begins a *round*: its recipients are grouped by destination, and
each group becomes an *attempt*, which waits for a send slot, is claimed in the journal (J8), carried by a transport
and settled. The round ends when its last attempt is durably settled; what is left of the message then waits for the
next one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nightmail.delivery.job import Body, Outcome
from nightmail.errors import Corrupt, NotKnownYet
from nightmail.journal.fetching import StoredBody
from nightmail.journal.state import LiveMessage
from nightmail.mail.envelope import Envelope
from nightmail.routing.resolution import UNKNOWN_NOW
from nightmail.routing.route import Route
from nightmail.routing.snapshot import RoutingSnapshot
from nightmail.switch.planning import Stuck, plan

if TYPE_CHECKING:
    from nightmail.switch.owned import OwnedQueue


class Round:
    """A message while attempts for it are under way or about to be.

    `body` is None where it was let go of to save memory; `fresh_bytes` is what it holds of the shared allowance.
    `number` counts the rounds, this one included.
    """

    __slots__ = (
        "_message", "arrival", "attempts", "began", "body", "envelope", "fresh_bytes", "id", "is_unplanned", "number",
        "on_over", "outstanding", "queue", "stuck",
    )  # fmt: skip

    def __init__(self, queue: OwnedQueue, message_id: str, envelope: Envelope, arrival: float, number: int) -> None:
        self.queue = queue
        self.id = message_id
        self.envelope = envelope
        self.body: Body | None = None
        self.arrival = arrival
        self.number = number
        self.began = 0.0
        self._message: LiveMessage | None = None
        self.attempts: list[Attempt] = []
        self.stuck: list[Stuck] = []
        self.outstanding = 0
        self.is_unplanned = False
        self.fresh_bytes = 0
        self.on_over: Callable[[], None] | None = None

    @property
    def message(self) -> LiveMessage:
        """The message in the journal's state; a round begins only once it is there."""
        if self._message is None:
            raise RuntimeError(f"message {self.id} is not in the log yet")
        return self._message

    @message.setter
    def message(self, message: LiveMessage) -> None:
        self._message = message

    @property
    def is_policy_known(self) -> bool:
        """Whether the routes of those planned for are known, or known to be none."""
        if self.envelope.is_unexpanded:
            return True  # it takes none: what it stands for does
        return not self.is_unplanned and all(each.reply != UNKNOWN_NOW for each in self.stuck)

    def plan(self, recipients: tuple[int, ...], snapshot: RoutingSnapshot, recipients_per_leg: int) -> None:
        """Make an attempt for each destination of `recipients`, not yet begun; none where one has to be looked up."""
        if self.envelope.is_unexpanded:
            self.is_unplanned = True
            return
        try:
            planned = plan(self.envelope, recipients, snapshot, recipients_per_leg=recipients_per_leg)
        except NotKnownYet:
            self.is_unplanned = True
            return
        self.stuck = planned.stuck
        self.attempts = [Attempt(self, leg.route, leg.recipients) for leg in planned.legs]
        self.outstanding = len(self.attempts) + bool(self.stuck)


class Attempt:
    """One leg of a round: what a transport sees as its job.

    It has a send slot while `has_slot` is set, and is claimed in the journal before a transport gets it.
    """

    __slots__ = ("_body", "has_slot", "lost_right", "recipients", "round", "route", "started")

    def __init__(self, round_: Round, route: Route, recipients: tuple[int, ...]) -> None:
        self.round = round_
        self.route = route
        self.recipients = recipients
        self.has_slot = False
        self.lost_right = False
        self.started = 0.0
        self._body: Body | None = None

    @property
    def id(self) -> str:
        """The message's id."""
        return self.round.id

    @property
    def envelope(self) -> Envelope:
        """The message's envelope, with all its recipients."""
        return self.round.envelope

    @property
    def repeated(self) -> bool:
        """Whether an earlier attempt may have got through."""
        return self.round.message.ambiguous

    @property
    def body(self) -> Body:
        """The message's bytes."""
        if self._body is None:
            raise RuntimeError(f"message {self.round.id} was sent off without its body")
        return self._body

    @property
    def damage(self) -> Corrupt | None:
        """Why the body could not be read to its end, where it is not what was stored (J14)."""
        return self._body.damage if isinstance(self._body, StoredBody) else None

    def open_body(self) -> None:
        """Take the round's body; one that is read in ranges is read by each attempt for itself."""
        body = self.round.body
        self._body = body.again() if isinstance(body, StoredBody) and body.in_memory is None else body

    def may_finish(self) -> bool:
        """Whether the right to deliver stands (J6); noted if it does not, for then nothing was attempted."""
        if self.round.queue.journal.may_deliver():
            return True
        self.lost_right = True
        return False

    def finishing(self) -> None:
        """The claim covers what follows: without a settlement it is ambiguous (J8)."""

    def finished(self, outcomes: list[Outcome]) -> None:
        """Settle the outcomes and give the slot back."""
        self.round.queue.ended(self, outcomes)
