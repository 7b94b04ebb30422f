"""What an operator may ask a switch: to show its messages, and to do something about them (R30)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from heapq import nsmallest
from typing import Any, ClassVar

import msgspec
import structlog

from nightmail.errors import Corrupt, StoreUnavailable, SwitchError
from nightmail.journal.records import Accepted, Edited, Held, Moved, Record, Resumed
from nightmail.journal.state import LiveMessage
from nightmail.mail.headers import header_end
from nightmail.mail.reply import Reply
from nightmail.net.control_messages import (
    Action,
    Listing,
    MessageRow,
    MessageState,
    Page,
    RecipientRow,
    Selection,
    Shown,
)
from nightmail.switch.owned import OwnedQueue
from nightmail.world import Clock

_STEP = 500
_HEADERS_LIMIT_BYTES = 64 << 10
_BOUNCED = "returned by the administrator of the mail system"
_DONE = {"retry": "retried", "hold": "held", "release": "released", "bounce": "bounced", "delete": "deleted"}

log = structlog.get_logger()

Found = tuple[OwnedQueue, LiveMessage, Accepted | Moved | None]


class Operations:
    """The operator's methods over the queues that a switch runs."""

    def __init__(self, queues: Callable[[], Sequence[OwnedQueue]], clock: Clock, forgive: Callable[[], None]) -> None:
        """`forgive` has destinations tried again that are being left alone."""
        self._queues = queues
        self._forgive = forgive
        self._clock = clock

    async def queue_list(self, params: dict[str, Any]) -> Page:
        """A page of messages, in the order of their ids."""
        listing = msgspec.convert(params, Listing)
        rows: list[MessageRow] = []
        for queue, message in self._candidates(listing.selection, listing.after):
            record = await _record(queue, message)
            if record is not None and not self._wants(listing.selection, message, record):
                continue
            if len(rows) == listing.limit:
                return Page(messages=tuple(rows), more=True)
            rows.append(_row(queue, message, record))
        return Page(messages=tuple(rows))

    async def queue_count(self, params: dict[str, Any]) -> dict[str, int]:
        """How many messages a selection means."""
        return {"count": sum([1 async for _ in self._selected(msgspec.convert(params, Selection))])}

    async def queue_show(self, params: dict[str, Any]) -> Shown | None:
        """All that is known of one message, or None if it is not here."""
        for queue in self._queues():
            message = queue.journal.state.messages.get(str(params["id"]))
            if message is not None:
                record = await queue.fetcher.record(message)
                return await _shown(queue, message, record)
        return None

    async def queue_act(self, params: dict[str, Any]) -> dict[str, int]:
        """Do `action` to every message of `selection`; how many there were. Returns once it is durable."""
        action = msgspec.convert(params["action"], Action)
        selection = msgspec.convert(params.get("selection", {}), Selection)
        if action == "retry":
            self._forgive()
        if action == "retry" and selection == Selection():
            return {"count": self._retry_all()}
        perform = self._ACTIONS[action]
        count = 0
        durable: list[asyncio.Future[None]] = []
        async for queue, message, record in self._selected(selection, with_record=action == "bounce"):
            if action == "retry" and message.held:
                continue  # until it is released
            begun = await perform(self, queue, message, record)
            if begun is None:
                continue  # it ended meanwhile
            durable += begun
            log.info(_DONE[action], id=message.id, queue=queue.name, by="operator")
            count += 1
            if len(durable) >= _STEP:
                await asyncio.gather(*durable)
                durable.clear()
        await asyncio.gather(*durable)
        return {"count": count}

    def _retry_all(self) -> int:
        count = 0
        for queue in self._queues():
            count += len(queue.waiting)
            queue.waiting.hurry_all()
            queue.readback.attempt_due(self._clock.wall())
        log.info("all retried", messages=count, by="operator")
        return count

    def _candidates(self, selection: Selection, after: str) -> list[tuple[OwnedQueue, LiveMessage]]:
        """Those that may be meant, as far as memory tells, in the order of their ids."""
        now = self._clock.wall()
        found = [
            (queue, message)
            for queue in self._queues()
            for message in queue.journal.state.messages.values()
            if message.id > after
            and (not selection.ids or message.id in selection.ids)
            and now - message.arrival >= selection.older_s
            and (message.held or not selection.held)
            and (message.ambiguous or not selection.ambiguous)
        ]
        return nsmallest(len(found), found, key=lambda pair: pair[1].id)

    async def _selected(self, selection: Selection, *, with_record: bool = False) -> AsyncIterator[Found]:
        needs_record = with_record or bool(selection.to or selection.sender)
        for count, (queue, message) in enumerate(self._candidates(selection, "")):
            record = await _record(queue, message) if needs_record else None
            if needs_record and (record is None or not self._wants(selection, message, record)):
                continue
            if message.id in queue.journal.state.messages:
                yield queue, message, record
            if count % _STEP == 0:
                await asyncio.sleep(0)

    def _wants(self, selection: Selection, message: LiveMessage, record: Accepted | Moved) -> bool:
        pending = [record.envelope.recipients[index].address for index in message.pending]
        return selection.wants(
            message.id, record.envelope.sender, pending,
            age_s=self._clock.wall() - message.arrival, is_held=message.held, is_ambiguous=message.ambiguous,
        )  # fmt: skip

    async def _retry(self, queue: OwnedQueue, message: LiveMessage, _: object) -> list[asyncio.Future[None]]:
        if message.wait_until:
            queue.waiting.wait(message, 0.0)
        return []

    async def _hold(self, queue: OwnedQueue, message: LiveMessage, _: object) -> list[asyncio.Future[None]] | None:
        if not await _is_there(queue, message):
            return None
        queue.waiting.cancel(message)
        return [_write(queue, Held(message.id))]

    async def _release(self, queue: OwnedQueue, message: LiveMessage, _: object) -> list[asyncio.Future[None]]:
        if not message.held:
            return []
        written = _write(queue, Resumed(message.id))
        written.add_done_callback(lambda _: queue.resume(message))
        return [written]

    async def _bounce(
        self, queue: OwnedQueue, message: LiveMessage, record: Accepted | Moved | None
    ) -> list[asyncio.Future[None]] | None:
        if record is None:
            raise SwitchError(f"message {message.id} can't be read, and so can't be returned; delete it instead")
        if not await _is_there(queue, message):
            return None
        last = f"; last reply: {message.reply}" if message.reply is not None else ""
        return [queue.bounce(message, record, Reply(550, "5.0.0", f"{_BOUNCED}{last}"))]

    async def _delete(self, queue: OwnedQueue, message: LiveMessage, _: object) -> list[asyncio.Future[None]] | None:
        if not await _is_there(queue, message):
            return None
        queue.waiting.cancel(message)
        return [_write(queue, Edited(message.id, message.pending, deleted=True))]

    _ACTIONS: ClassVar[dict[str, Callable[..., Any]]] = {
        "retry": _retry,
        "hold": _hold,
        "release": _release,
        "bounce": _bounce,
        "delete": _delete,
    }


async def _is_there(queue: OwnedQueue, message: LiveMessage) -> bool:
    """Whether a message is there still, once its drop file is gone. Raises: StoreUnavailable."""
    await queue.readback.clear_drop(message)
    return message.id in queue.journal.state.messages


def _write(queue: OwnedQueue, record: Record) -> asyncio.Future[None]:
    written = queue.promise()
    queue.journal.append(record, lambda: None if written.done() else written.set_result(None), urgent=True)
    return written


async def _record(queue: OwnedQueue, message: LiveMessage) -> Accepted | Moved | None:
    """The envelope of a message, or None where it can't be read now."""
    try:
        return await queue.fetcher.record(message)
    except (StoreUnavailable, Corrupt):
        return None


def _row(queue: OwnedQueue, message: LiveMessage, record: Accepted | Moved | None) -> MessageRow:
    active = message.id in queue.rounds
    state: MessageState = "active" if active else "held" if message.held else "waiting"
    reply = str(message.reply) if message.reply is not None else ""
    recipients: tuple[RecipientRow, ...] = ()
    if record is not None:
        addresses = [record.envelope.recipients[index].address for index in message.pending]
        recipients = tuple(RecipientRow(address=address, state=state, reply=reply) for address in addresses)
    return MessageRow(
        id=message.id,
        queue=queue.name,
        sender=record.envelope.sender if record is not None else "?",
        size_bytes=message.body_bytes,
        arrival=message.arrival,
        next_attempt=message.next_attempt if state == "waiting" else 0.0,
        attempts=message.attempts,
        state=state,
        recipients=recipients,
    )


async def _shown(queue: OwnedQueue, message: LiveMessage, record: Accepted | Moved) -> Shown:
    envelope = record.envelope
    body = queue.fetcher.body(message, record)
    beginning = await body.read(0, min(body.size_bytes, _HEADERS_LIMIT_BYTES))
    settled = tuple(
        RecipientRow(address=recipient.address, state="done")
        for index, recipient in enumerate(envelope.recipients)
        if index not in message.pending
    )
    return Shown(
        message=_row(queue, message, record),
        settled=settled,
        client=envelope.client,
        ret=envelope.ret,
        envid=envelope.envid,
        headers=beginning[: header_end(beginning)].decode("utf-8", "replace").replace("\r\n", "\n"),
    )
