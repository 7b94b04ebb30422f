"""Taking up what local programs left in the drop directory.

The `accepted` record names the drop file, and the file is gone for good before the first claim: a message is in the
drop directory, or in the journal, or in both with the journal knowing it, and never delivered from both. That is why
nothing is picked up before every older queue of ours was read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import google_crc32c
import structlog

from nightmail.errors import StoreUnavailable, SwitchError
from nightmail.journal.keys import body_key
from nightmail.journal.records import BodyPlace
from nightmail.journal.segment import INLINE_BODY_BYTES
from nightmail.mail.envelope import Envelope, Recipient
from nightmail.mail.fate import Action, Fate, Original
from nightmail.mail.headers import header_end
from nightmail.mail.received import local_header
from nightmail.mail.reply import Reply
from nightmail.submission import DropDirectory, DropFile, DropRefused
from nightmail.switch.parts import Parts

if TYPE_CHECKING:
    from nightmail.switch.switch import Switch

_LOOK_S = 0.5
_AT_ONCE = 50
_RETRY_S = 5.0

log = structlog.get_logger()


class _Left:
    """The `Sender` of a drop file: hears that it was accepted, or leaves it for another time."""

    def __init__(self, pickup: Pickup, name: str) -> None:
        self._pickup = pickup
        self._name = name

    def accepted(self, message_id: str) -> bool:
        """The journal has it; the file goes before the first claim."""
        return True

    def refused(self, error: SwitchError) -> None:
        """The file stays, and is tried again."""
        log.warning("submission put off", drop=self._name, reason=str(error))
        self._pickup.put_off(self._name)

    def left_unanswered(self) -> None:
        """The put goes on; its end is told by the other two."""


class Pickup:
    """Accepts drop files for one server, by one of its switches."""

    def __init__(self, switch: Switch, drops: DropDirectory) -> None:
        self._switch = switch
        self._drops = drops
        self._taken: set[str] = set()

    async def run(self) -> None:
        """Look for drop files until cancelled."""
        parts: Parts = self._switch.parts
        while True:
            await asyncio.sleep(_LOOK_S)
            if not self._is_safe():
                continue
            try:
                names = await asyncio.to_thread(self._drops.waiting, _AT_ONCE)
            except OSError as error:
                log.warning("drop directory not read", path=self._drops.path, reason=str(error))
                await asyncio.sleep(_RETRY_S)
                continue
            for name in names:
                if name not in self._taken and self._switch.fault() is None:
                    self._taken.add(name)
                    await self._take(parts, name)

    async def remove(self, name: str) -> None:
        """Make sure, durably, that a drop file is gone. Raises: OSError."""
        await asyncio.to_thread(self._drops.remove, name)
        self._taken.discard(name)

    def put_off(self, name: str) -> None:
        """Try a file again later."""
        asyncio.get_running_loop().call_later(_RETRY_S, self._taken.discard, name)

    def _is_safe(self) -> bool:
        """Whether every file that an older queue of ours has accepted is known to be gone."""
        switch = self._switch
        return switch.generations.is_complete and not any(
            queue.open_drops for queue in switch.queues if not switch.is_newest(queue)
        )

    async def _take(self, parts: Parts, name: str) -> None:
        try:
            await self._accept(parts, name)
        except FileNotFoundError:
            self._taken.discard(name)
        except DropRefused as error:
            aside = await asyncio.to_thread(self._drops.put_aside, name)
            log.warning("submission refused", drop=name, reason=str(error), put_aside=aside)
            self._taken.discard(name)
        except (OSError, StoreUnavailable) as error:
            log.warning("submission put off", drop=name, reason=str(error))
            self.put_off(name)

    async def _accept(self, parts: Parts, name: str) -> None:
        message_id = parts.ids.next()
        with await asyncio.to_thread(self._drops.open, name) as drop:
            submission = drop.submission
            trace = local_header(parts.hostname, message_id, parts.clock.wall(), drop.owner)
            taken, refused = self._expand(submission.recipients)
            reading = _Reading(trace)
            place = await reading.read(self._switch, message_id, drop)
            client = f"local[{drop.owner}]"
        envelope = Envelope(
            submission.sender, tuple(taken), submission.ret, submission.envid,
            reading.is_eight_bit, reading.has_utf8_headers or not _is_ascii(submission.sender, taken), client, name,
        )  # fmt: skip
        if refused:
            self._return(message_id, envelope, refused, reading, is_all=not taken)
        if taken:
            self._switch.submit(message_id, envelope, reading.data, place, _Left(self, name))
        log.info("submission picked up", id=message_id, drop=name, **{"from": f"<{submission.sender}>"})

    def _expand(self, given: tuple[Recipient, ...]) -> tuple[list[Recipient], list[tuple[Recipient, Reply]]]:
        """Final recipients, each once, and those that are refused."""
        taken: dict[str, Recipient] = {}
        refused = []
        for recipient in given:
            found = self._switch.parts.routing.snapshot.accept(recipient.address, may_relay=True)
            if isinstance(found, Reply):
                refused.append((recipient, found))
                continue
            for address in found.recipients:
                taken.setdefault(address, Recipient(address, recipient.orcpt, recipient.notify, found.orig_to))
        return list(taken.values()), refused

    def _return(
        self,
        message_id: str,
        envelope: Envelope,
        refused: list[tuple[Recipient, Reply]],
        reading: _Reading,
        *,
        is_all: bool,
    ) -> None:
        """Tell the sender who can't be reached. If that is everybody, the report stands for the drop file."""
        now = self._switch.parts.clock.wall()
        for recipient, reply in refused:
            log.info("recipient refused", id=message_id, to=f"<{recipient.address}>", reply=str(reply))
        fates = [Fate(recipient, Action.FAILED, reply, "", now) for recipient, reply in refused]
        original = Original(message_id, envelope, now, reading.beginning, reading.size_bytes)
        self._switch.report(original, fates, _Left(self, envelope.drop), drop=envelope.drop if is_all else "")


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
