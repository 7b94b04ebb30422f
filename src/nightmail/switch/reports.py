"""Reports to senders: of failure, of delay, and of success where it was asked for (RFC 3461, RFC 3464).

A report is accepted in the very segment that settles what it tells (J13): neither can be there without the other.
Whatever of one message is settled while its report is being made goes into that report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import google_crc32c
import msgspec
import structlog

from nightmail.delivery.job import Body, Outcome
from nightmail.errors import NotKnownYet, SwitchError
from nightmail.journal.records import DELIVERED, FAILED, BodyPlace, Settled, Settlement
from nightmail.mail.dsn import RETURN_LIMIT_BYTES, render
from nightmail.mail.envelope import Envelope, Recipient
from nightmail.mail.fate import Action, Fate, Original
from nightmail.mail.reply import Reply
from nightmail.queue.reports import due, success
from nightmail.routing.resolution import UNKNOWN_NOW
from nightmail.routing.route import Route
from nightmail.routing.snapshot import Accepted
from nightmail.switch.attempts import Round
from nightmail.switch.fresh import FreshAllowance
from nightmail.switch.incoming import Incoming, Sender
from nightmail.switch.parts import Parts

if TYPE_CHECKING:
    from nightmail.switch.owned import OwnedQueue

log = structlog.get_logger()


class Verdict(msgspec.Struct, frozen=True):
    """What is to be written down about a round, and what its sender is to be told; no fates: nothing."""

    record: Settled
    fates: list[Fate]


class Nobody:
    """Who waits for the answer to a report: nobody."""

    def accepted(self, message_id: str) -> bool:
        """Nobody needs to be told."""
        return True

    def refused(self, error: SwitchError) -> None:
        """A report is never refused: its record waits until it can be written."""
        raise RuntimeError("a report was refused") from error

    def left_unanswered(self) -> None:
        """Nobody waits."""


class Reporter:
    """Decides which reports are due, and makes them."""

    def __init__(self, parts: Parts, allowance: FreshAllowance) -> None:
        self._parts = parts
        self._allowance = allowance

    def verdict(
        self, round_: Round, record: Settled, outcomes: list[Outcome], route: Route | None, now: float
    ) -> Verdict:
        """What follows from the outcomes of an attempt; `now` is wall-clock seconds."""
        envelope = round_.envelope
        if len(outcomes) == 1 and outcomes[0].kind == "delivered" and not envelope.recipients[outcomes[0].index].notify:
            return Verdict(record, [])
        is_delayed = self.is_delay_due(round_, now)
        fates = []
        for outcome in outcomes:
            action = self._action(outcome, route, is_delayed=is_delayed)
            if action is not None:
                fates.append(self._fate(round_, outcome, action, now))
        if is_delayed and any(fate.action is Action.DELAYED for fate in fates):
            record = _with_delay_reported(record)
        return Verdict(record, self.due(round_.id, envelope, fates))

    def due(self, message_id: str, envelope: Envelope, fates: list[Fate]) -> list[Fate]:
        """What the sender is to be told of `fates`, all of one segment; nothing where nobody has the sender's address.

        A sender in a domain of ours has to exist: anybody may invent one, and no mailbox is made for that.
        """
        fates = due(envelope, fates)
        if not fates:
            return fates
        try:
            found = self._parts.routing.snapshot.accept(envelope.sender, may_relay=True)
        except NotKnownYet:
            return fates  # whoever makes the report looks it up, and asks again
        if isinstance(found, Reply) and found.is_permanent:
            log.info(
                "report not made", id=message_id, to=f"<{envelope.sender}>", reply=str(found),
                remedy="where that address is meant to exist, add it to mailboxes or aliases",
            )  # fmt: skip
            return []
        return fates

    async def know(self, sender: str) -> None:
        """Have all be looked up that a report to this sender depends on; what can't be known now stays unknown."""
        if sender:
            await self._parts.routing.ask(lambda snapshot: snapshot.accept(sender, may_relay=True))

    def is_delay_due(self, round_: Round, now: float) -> bool:
        """Whether the sender is to be told, for the first time, that the message waits."""
        report_at = self._parts.backoff.delay_report_at(round_.arrival)
        return report_at is not None and report_at <= now and not round_.message.delay_reported

    async def original(self, round_: Round, body: Body) -> Original:
        """The message that is reported on, as far as a report may return it. Raises: Corrupt, StoreUnavailable."""
        return Original(round_.id, round_.envelope, round_.arrival, await _beginning(body), body.size_bytes)

    def report(
        self, queue: OwnedQueue, original: Original, fates: list[Fate], sender: Sender | None = None, drop: str = ""
    ) -> Incoming:
        """The report that tells `fates`, ready to be accepted into `queue`.

        `sender` waits for the answer, `drop` is the drop file that the report stands for, where there is one.
        """
        parts = self._parts
        now = parts.clock.wall()
        report_id = parts.ids.next()
        envelope, buffers = render(original, fates, hostname=parts.hostname, report_id=report_id, now=now)
        data = b"".join(buffers)
        parts.counters.reports += 1
        return Incoming(
            report_id, msgspec.structs.replace(self._addressed(envelope), drop=drop), data,
            BodyPlace(len(data), google_crc32c.value(data)),
            arrival=now, waits_since=parts.clock.elapsed(), sender=sender or Nobody(), queue=queue,
            allowance=self._allowance,
        )  # fmt: skip

    def _addressed(self, envelope: Envelope) -> Envelope:
        """A report's envelope, its recipient expanded as any other (J13), or marked where that can't be known now."""
        try:
            found = self._parts.routing.snapshot.accept(envelope.recipients[0].address, may_relay=True)
        except NotKnownYet:
            found = UNKNOWN_NOW
        if isinstance(found, Reply):
            return msgspec.structs.replace(envelope, is_unexpanded=True)
        return _expanded(envelope, found)

    def readdressed(self, round_: Round, found: Accepted, data: bytes) -> Incoming:
        """An unexpanded report anew, its age the same, for those whom its recipient stands for."""
        parts = self._parts
        return Incoming(
            parts.ids.next(), _expanded(round_.envelope, found), data,
            BodyPlace(len(data), google_crc32c.value(data)),
            arrival=round_.arrival, waits_since=parts.clock.elapsed(), sender=Nobody(), queue=round_.queue,
            allowance=self._allowance,
        )  # fmt: skip

    def _action(self, outcome: Outcome, route: Route | None, *, is_delayed: bool) -> Action | None:
        if outcome.kind == "delivered":
            is_final = route is not None and (route.is_final or route.kind == "lmtp")
            return success(is_final=is_final, relayed_without_dsn=outcome.relayed_without_dsn)
        if outcome.kind == "failed":
            return Action.FAILED
        return Action.DELAYED if is_delayed else None

    def _fate(self, round_: Round, outcome: Outcome, action: Action, now: float) -> Fate:
        retry_until = self._parts.backoff.expires_at(round_.arrival) if action is Action.DELAYED else 0.0
        recipient = round_.envelope.recipients[outcome.index]
        return Fate(recipient, action, outcome.reply, outcome.relay, now, retry_until)


def merge(verdicts: list[Verdict]) -> Verdict:
    """Several attempts of one message, settled by one record and told in one report.

    Of a recipient that more than one of them names, the first final word counts.
    """
    if len(verdicts) == 1:
        return verdicts[0]
    records = [verdict.record for verdict in verdicts]
    results: dict[int, Settlement] = {}
    for result in (result for record in records for result in record.results):
        if result.recipient not in results or results[result.recipient].outcome not in (DELIVERED, FAILED):
            results[result.recipient] = result
    fates: dict[str, Fate] = {}
    for fate in (fate for verdict in verdicts for fate in verdict.fates):
        if fate.recipient.address not in fates or fates[fate.recipient.address].action is Action.DELAYED:
            fates[fate.recipient.address] = fate
    merged = Settled(
        records[0].id,
        tuple(results.values()),
        max(record.next_attempt for record in records),
        max(record.attempts for record in records),
        any(record.delay_reported for record in records),
        any(record.hold for record in records),
    )
    return Verdict(merged, list(fates.values()))


def _expanded(report: Envelope, found: Accepted) -> Envelope:
    recipients = tuple(Recipient(address, orig_to=found.orig_to) for address in found.recipients)
    is_international = report.utf8_headers or not all(address.isascii() for address in found.recipients)
    return msgspec.structs.replace(
        report, recipients=recipients, utf8_headers=is_international, drop="", is_unexpanded=False
    )


def _with_delay_reported(record: Settled) -> Settled:
    return Settled(record.id, record.results, record.next_attempt, record.attempts, True, record.hold)


async def _beginning(body: Body) -> bytes | memoryview:
    """As much of a message as a report may return. Raises: Corrupt, StoreUnavailable."""
    if body.in_memory is not None:
        return body.in_memory
    return await body.read(0, min(body.size_bytes, RETURN_LIMIT_BYTES + 1))
