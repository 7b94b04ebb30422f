"""The log of the master's role in the store: `directory/master/log/<slot>`, each slot one line of JSON.

The same rules hold as for a queue's log: a slot is taken once, whoever takes the next one looks once more (J4), slots
that begin an epoch are kept for good (J5), others are deleted a minute after they were followed (J10). One slot is
under way at a time. One that can't be read counts as read, and is kept (J14): nobody takes the role after it by
himself, since who is in sync is not known, and an operator has somebody take it by the slot after it.

Whoever wants the role asks for it by an object beside the log, which the master finds and answers by yielding.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing

import google_crc32c
import msgspec

from nightmail.directory.role import NOBODY, Role, Sighting
from nightmail.errors import Corrupt, Fenced, StoreUnavailable
from nightmail.journal.keys import slot_of
from nightmail.journal.ownership import put_slot
from nightmail.store.protocol import NotFound, Store
from nightmail.world import Clock

_LOG = "directory/master/log/"
_WISHES = "directory/master/wishes/"
_SLOT_DIGITS = 20
_LIMIT_BYTES = 64 << 10
_LOOK_AGAIN_S = 1.0
_LOOK_LIMIT_S = 30.0

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Role)


class RoleLog:
    """The log, as one process reads and writes it. Every call raises StoreUnavailable where the store is away."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def look(self, known: Sighting | None) -> Sighting | None:
        """Its end, if `known` is where it ended when it was last looked at; None: there is no log.

        What could not be read then is read again. A log whose end is gone does not stand still, but is lost, or another
        one: the end is kept for good (J5), and so is the slot before it.
        """
        while True:
            began = self._clock.elapsed()
            read = known.slot - known.unread if known is not None else -1
            slots = await self._slots(after=read - 2)
            if not slots:
                return None
            is_whole = slots[-1] == 0 or slots[-1] - 1 in slots
            if known is not None and is_whole and slots[-1] == known.slot == read:
                return msgspec.structs.replace(known, looked_at=began)
            try:
                found, role, fault = await self._last_of(slots)
            except NotFound:
                continue  # it was followed, and deleted, while we looked
            if role is None:
                found, role = (read, known.role) if known is not None else (-1, NOBODY)
            is_same = known is not None and known.slot == slots[-1]
            since = known.since if known is not None and is_same else self._clock.elapsed()
            if not is_whole:  # somebody wrote into it who took it for the one that he knew
                fault = f"{_key(slots[-1] - 1)} is not there: the store was lost, or is another one"
            return Sighting(slots[-1], role, since, began, max(slots[-1] - found, not is_whole), fault)

    async def _last_of(self, slots: Sequence[int]) -> tuple[int, Role | None, str]:
        """The last of some slots that can be read, what it says, and what is wrong with those after it.

        Raises:
            NotFound: the very last one is gone.
        """
        faults = list[str]()
        for slot in reversed(slots):
            try:
                return slot, await self._read(slot), "".join(faults[:1])
            except Corrupt as error:
                faults.append(str(error))
            except NotFound:
                if not faults:
                    raise
        return -1, None, faults[0]

    async def put(self, slot: int, role: Role) -> None:
        """Write a slot. Raises: Fenced: it was another's; PutFailed: it is not there and never will be."""
        await put_slot(self._store, _key(slot), [_encode(role)])

    async def follow(self, slot: int, role: Role) -> None:
        """Write the slot after our own, which is still there then: else this is another log (see `look`).

        Raises:
            Fenced: it was another's, or our own is gone.
            PutFailed: it is not there and never will be.
        """
        await self.put(slot, role)
        if slot - 1 not in await self._slots_from(slot - 1):
            raise Fenced(f"{_key(slot - 1)}, which is ours, is not in the store any more: see that it is the right one")

    async def take(self, slot: int, role: Role) -> bool:
        """Write the slot by which the role is taken, and look once more (J4): whether it is ours.

        The one before it is still there: else this is another log (see `look`).

        Raises:
            Fenced: another took the slot.
        """
        await self.put(slot, role)
        slots = await self._slots_from(slot - 1)
        return slots[-1:] == [slot] and (slot == 0 or slot - 1 in slots)

    async def spent(self, before: int) -> list[int]:
        """The slots below `before` that begin no epoch: nobody needs them any more. One that can't be read is kept."""
        slots = [slot for slot in await self._slots() if slot < before]
        heads = await self._store.get_heads([_key(slot) for slot in slots], _LIMIT_BYTES)
        return [slot for slot, head in zip(slots, heads, strict=True) if head is not None and _is_spent(slot, head)]

    async def delete(self, slots: Iterable[int]) -> None:
        """Delete slots that are spent."""
        await self._store.delete([_key(slot) for slot in slots])

    async def wish(self, server: str, epoch: int) -> None:
        """Ask the master of `epoch` for the role, for `server`."""
        await self._store.put_new(_wish(epoch, server), [b"\n"])

    async def wishes(self, epoch: int) -> list[str]:
        """The servers that want the role of the master of `epoch`; what was wished of others is deleted."""
        wishes = [key[len(_WISHES) :].partition("/") for key in await self._keys(_WISHES, "")]
        current = f"{epoch:0{_SLOT_DIGITS}d}"
        old = [f"{_WISHES}{of}/{server}" for of, _, server in wishes if of != current]
        if old:
            await self._store.delete(old)
        return [server for of, _, server in wishes if of == current]

    async def forget_wish(self, server: str, epoch: int) -> None:
        """Delete a wish that can't be fulfilled."""
        await self._store.delete([_wish(epoch, server)])

    async def _slots_from(self, first: int) -> list[int]:
        """Those from `first` on, looked for until the store tells, and tells in time."""
        while True:
            began = self._clock.elapsed()
            try:
                slots = await self._slots(after=first - 1)
            except StoreUnavailable:
                await asyncio.sleep(_LOOK_AGAIN_S)
                continue
            if self._clock.elapsed() - began <= _LOOK_LIMIT_S:
                return slots

    async def _slots(self, after: int = -1) -> list[int]:
        keys = await self._keys(_LOG, _key(after) if after >= 0 else "")
        return [slot for key in keys if (slot := slot_of(key)) is not None]

    async def _keys(self, prefix: str, after: str) -> list[str]:
        async with aclosing(self._store.list_after(prefix, after)) as pages:
            return [key async for page in pages for key in page]

    async def _read(self, slot: int) -> Role:
        return _decode(_key(slot), await self._store.get_range(_key(slot), 0, _LIMIT_BYTES))


def roles_in(objects: Mapping[str, bytes]) -> list[Role]:
    """What all slots of the log say that can be read, in order, where the objects of a store are at hand."""
    roles = list[Role]()
    for key in sorted(objects):
        with contextlib.suppress(Corrupt):
            if key.startswith(_LOG):
                roles.append(_decode(key, objects[key]))
    return roles


def _key(slot: int) -> str:
    return f"{_LOG}{slot:0{_SLOT_DIGITS}d}"


def _wish(epoch: int, server: str) -> str:
    return f"{_WISHES}{epoch:0{_SLOT_DIGITS}d}/{server}"


def _encode(role: Role) -> bytes:
    text = _encoder.encode(role)
    return b"%08x %s\n" % (google_crc32c.value(text), text)


def _decode(key: str, data: Sequence[int] | bytes) -> Role:
    crc, _, text = bytes(data).partition(b" ")
    text = text.removesuffix(b"\n")
    try:
        if int(crc, 16) != google_crc32c.value(text):
            raise Corrupt(key, 0, "its check sum is wrong")
        return _decoder.decode(text)
    except (ValueError, msgspec.DecodeError) as error:
        raise Corrupt(key, 0, f"it is no slot of the master's role: {error}") from error


def _is_spent(slot: int, head: bytes) -> bool:
    try:
        return not _decode(_key(slot), head).begins
    except Corrupt:
        return False
