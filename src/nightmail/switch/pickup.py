"""Taking up what local programs left in the drop directory.

The `accepted` record names the drop file, and the file is gone for good before the first claim: a message is in the
drop directory, or in the journal, or in both with the journal knowing it, and never delivered from both. That is why
nothing is picked up before every older queue of ours was read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import google_crc32c
import structlog

from nightmail.errors import StoreUnavailable, SwitchError, TemporaryFailure
from nightmail.journal.keys import body_key
from nightmail.journal.records import BodyPlace
from nightmail.journal.segment import INLINE_BODY_BYTES
from nightmail.mail.envelope import Envelope, Recipient
from nightmail.mail.fate import Action, Fate, Original
from nightmail.mail.headers import header_end
from nightmail.mail.received import local_header
from nightmail.mail.reply import Reply
from nightmail.routing.snapshot import Accepted
from nightmail.submission import RECIPIENTS_MAX, DropDirectory, DropFile, DropRefused
from nightmail.switch.parts import Parts

if TYPE_CHECKING:
    from nightmail.switch.switch import Switch

_LOOK_S = 0.5
_AT_ONCE = 50
_RETRY_S = 5.0
_RETRY_RARELY_S = 300.0
_PATIENCE_S = 60.0
_EXPANDED_AT_ONCE = 50
_WITH_THE_JOURNAL = float("inf")
_TOO_MANY_FINAL = Reply(554, "5.5.3", "Too many recipients after aliases are expanded")

log = structlog.get_logger()


class _Left:
    """The `Sender` of a drop file: hears that it was accepted, or leaves it for another time."""

    def __init__(self, pickup: Pickup, name: str) -> None:
        self._pickup = pickup
        self._name = name

    def accepted(self, message_id: str) -> bool:
        """The journal has it; the file goes before the first claim."""
        self._pickup.keep(self._name)
        return True

    def refused(self, error: SwitchError) -> None:
        """The file stays, and is tried again."""
        log.warning("submission put off", drop=self._name, reason=str(error))
        self._pickup.put_off(self._name)

    def left_unanswered(self) -> None:
        """The put may still end well, which takes the file back, or the queue is lost.

        Then nothing is picked up before that queue was read again: by then the file is gone if the message is there.
        """
        self._pickup.put_off(self._name)


class Pickup:
    """Accepts drop files for one server, by one of its switches."""

    def __init__(self, switch: Switch, drops: DropDirectory) -> None:
        self._switch = switch
        self._drops = drops
        # When each file may be looked at again, in elapsed seconds.
        self._taken: dict[str, float] = {}
        self._held_up_since: float | None = None

    async def run(self) -> None:
        """Look for drop files until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if not self._is_safe():
                self._note_held_up()
                continue
            self._held_up_since = None
            try:
                names = await self._names()
            except OSError as error:
                log.warning("drop directory not read", path=self._drops.path, reason=str(error))
                await asyncio.sleep(_RETRY_S)
                continue
            for name in names:
                if self._is_safe() and self._switch.fault() is None and self._switch.admission.fault is None:
                    self.keep(name)
                    await self._take(self._switch.parts, name)

    async def remove(self, name: str) -> None:
        """Make sure, durably, that a drop file is gone. Raises: OSError."""
        await asyncio.to_thread(self._drops.remove, name)
        self._taken.pop(name, None)

    def keep(self, name: str) -> None:
        """Leave a file alone: it is being taken, or the journal has it."""
        self._taken[name] = _WITH_THE_JOURNAL

    def put_off(self, name: str, delay_s: float = _RETRY_S) -> None:
        """Try a file again later."""
        self._taken[name] = self._switch.parts.clock.elapsed() + delay_s

    async def _names(self) -> list[str]:
        now = self._switch.parts.clock.elapsed()
        self._taken = {name: until for name, until in self._taken.items() if until > now}
        return await asyncio.to_thread(self._drops.waiting, _AT_ONCE, besides=self._taken.keys())

    def _is_safe(self) -> bool:
        """Whether every file that an older queue of ours has accepted is known to be gone."""
        switch = self._switch
        return switch.generations.is_complete and not any(
            queue.open_drops for queue in switch.queues if not switch.is_newest(queue)
        )

    def _note_held_up(self) -> None:
        """Say so when local mail waits for longer than an adoption takes, now and then."""
        now = self._switch.parts.clock.elapsed()
        if self._held_up_since is None:
            self._held_up_since = now
        elif now - self._held_up_since > _PATIENCE_S:
            self._held_up_since = now
            log.warning(
                "local mail waits", path=self._drops.path, reason="an older queue may have accepted what is there",
                remedy="it goes on once every queue of this server was read; `nightmail status` shows them",
            )  # fmt: skip

    async def _take(self, parts: Parts, name: str) -> None:
        try:
            await self._accept(parts, name)
        except FileNotFoundError:
            self._taken.pop(name, None)
        except DropRefused as error:
            aside = await asyncio.to_thread(self._drops.put_aside, name)
            log.warning("submission refused", drop=name, reason=str(error), put_aside=aside)
            self._taken.pop(name, None)
        except (OSError, StoreUnavailable, TemporaryFailure) as error:
            log.warning("submission put off", drop=name, reason=str(error))
            self.put_off(name)
        except Exception:  # whoever may leave a file here must not be able to end the switch
            log.exception("submission failed", drop=name, remedy="it is tried again; report this")
            self.put_off(name, _RETRY_RARELY_S)

    async def _accept(self, parts: Parts, name: str) -> None:
        message_id = parts.ids.next()
        with await asyncio.to_thread(self._drops.open, name) as drop:
            submission = drop.submission
            owner = await asyncio.to_thread(lambda: drop.owner)
            trace = local_header(parts.hostname, message_id, parts.clock.wall(), owner)
            taken, refused = await self._expand(submission.recipients)
            reading = _Reading(trace)
            place = await reading.read(self._switch, message_id, drop)
        envelope = Envelope(
            submission.sender, tuple(taken), submission.ret, submission.envid, reading.is_eight_bit,
            reading.has_utf8_headers or not _is_ascii(submission.sender, taken), f"local[{owner}]", name,
        )  # fmt: skip
        log.info("submission picked up", id=message_id, drop=name, **{"from": f"<{submission.sender}>"})

        def submit() -> None:
            self._switch.submit(message_id, envelope, reading.data, place, _Left(self, name))

        if refused:
            await self._return(message_id, envelope, refused, reading, submit if taken else None)
        else:
            submit()
        if not taken and place.key:
            self._switch.forget_body(place)

    async def _expand(self, given: tuple[Recipient, ...]) -> tuple[list[Recipient], list[tuple[Recipient, Reply]]]:
        """Final recipients, each once, and those that are refused for good.

        Raises:
            TemporaryFailure: it can't be known now.
        """
        taken: dict[str, Recipient] = {}
        refused = []
        for count, recipient in enumerate(given, 1):
            found = await self._accepted(recipient.address)
            if isinstance(found, Reply) and not found.is_permanent:
                raise TemporaryFailure(found, f"<{recipient.address}>: {found}")
            if isinstance(found, Reply):
                refused.append((recipient, found))
            elif len(taken.keys() | set(found.recipients)) > RECIPIENTS_MAX:
                refused.append((recipient, _TOO_MANY_FINAL))
            else:
                for address in found.recipients:
                    taken.setdefault(address, Recipient(address, recipient.orcpt, recipient.notify, found.orig_to))
            if count % _EXPANDED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return list(taken.values()), refused

    async def _accepted(self, address: str) -> Accepted | Reply:
        return await self._switch.parts.routing.ask(lambda snapshot: snapshot.accept(address, may_relay=True))

    async def _return(
        self,
        message_id: str,
        envelope: Envelope,
        refused: list[tuple[Recipient, Reply]],
        reading: _Reading,
        submit: Callable[[], None] | None,
    ) -> None:
        """Tell the sender who can't be reached; `submit` then takes the message in for the others, if there are any.

        Without others the report stands for the drop file; where none is wanted either, nothing is left to do.
        """
        if envelope.sender:
            await self._accepted(envelope.sender)  # which has to be known in the step that makes the report
        now = self._switch.parts.clock.wall()
        for recipient, reply in refused:
            log.info("recipient refused", id=message_id, to=f"<{recipient.address}>", reply=str(reply))
        fates = [Fate(recipient, Action.FAILED, reply, "", now) for recipient, reply in refused]
        fates = self._switch.reports_due(message_id, envelope, fates)
        if fates:
            original = Original(message_id, envelope, now, reading.beginning, reading.size_bytes)
            self._switch.report(original, fates, _Left(self, envelope.drop), drop="" if submit else envelope.drop)
        if submit:
            submit()  # in the same step as the report, and so in the same segment (J13)
        elif not fates:
            log.info("submission dropped", id=message_id, drop=envelope.drop, reason="nobody is to be told of it")
            await self.remove(envelope.drop)


class _Reading:
    """Reads a drop file: into memory, or into an object of its own where it is too large for a segment."""

    def __init__(self, trace: bytes) -> None:
        self.data = trace
        self.beginning = trace
        self.size_bytes = len(trace)
        self.is_eight_bit = False
        self.has_utf8_headers = False

    async def read(self, switch: Switch, message_id: str, drop: DropFile) -> BodyPlace:
        """Where the message lies once it is read. Raises: DropRefused, StoreUnavailable, OSError."""
        if drop.size_bytes + len(self.data) <= INLINE_BODY_BYTES:
            pieces = await asyncio.to_thread(lambda: list(drop.chunks()))
            for piece in pieces:
                self._note(piece)
            self.data = self.beginning = b"".join([self.data, *pieces])
            self._note_headers()
            return BodyPlace(len(self.data), google_crc32c.value(self.data))
        return await self._read_aside(switch, message_id, drop)

    async def _read_aside(self, switch: Switch, message_id: str, drop: DropFile) -> BodyPlace:
        key = body_key(switch.queue_name(), message_id)
        writer = switch.parts.store.put_body(key)
        crc = google_crc32c.value(self.data)
        try:
            await writer.write([self.data])
            chunks = drop.chunks()
            while (piece := await asyncio.to_thread(next, chunks, None)) is not None:
                self._note(piece)
                if len(self.beginning) < INLINE_BODY_BYTES:
                    self.beginning += piece
                crc = google_crc32c.extend(crc, piece)
                await writer.write([piece])
            await writer.commit()
        except BaseException:
            await writer.abort()
            raise
        self.data = b""
        self._note_headers()
        return BodyPlace(self.size_bytes, crc, 0, key)

    def _note(self, piece: bytes) -> None:
        self.size_bytes += len(piece)
        self.is_eight_bit = self.is_eight_bit or not piece.isascii()

    def _note_headers(self) -> None:
        self.has_utf8_headers = not self.beginning[: header_end(self.beginning)].isascii()


def _is_ascii(sender: str, recipients: list[Recipient]) -> bool:
    return sender.isascii() and all(recipient.address.isascii() for recipient in recipients)
