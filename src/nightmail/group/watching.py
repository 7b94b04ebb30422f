"""Looking at journals from outside: where they end, what that promises, and who writes them."""

from __future__ import annotations

from contextlib import aclosing

import structlog

from nightmail.errors import Corrupt, FormatUnknown, StoreUnavailable
from nightmail.group.events import Gone, LookFailed, Sighted
from nightmail.journal.reading import LONGEST_S, list_slots, read_header, read_segment
from nightmail.journal.records import Adopted
from nightmail.journal.segment import ADOPTS, CLOSES, YIELDS, Header
from nightmail.store.protocol import NotFound, Put, Store
from nightmail.world import Randomness

log = structlog.get_logger()


class Watcher:
    """Asks the store; remembers who owns what, for that changes only with the epoch.

    `server` names the place where probes are put.
    """

    def __init__(self, store: Store, randomness: Randomness, server: str) -> None:
        self._store = store
        self._randomness = randomness
        self._probes = f"probes/{server}/"
        self._seen: dict[str, Sighted] = {}
        self._owners: dict[str, tuple[int, Adopted]] = {}
        self._newer: set[str] = set()

    async def look(self, queue: str, tail: int) -> Sighted | Gone | LookFailed:
        """Look for anything beyond `tail`, -1 for a first look."""
        try:
            return await self._look(queue, tail)
        except FormatUnknown as error:
            if queue not in self._newer:
                self._newer.add(queue)
                log.warning("queue not watched", queue=queue, reason=str(error), remedy="upgrade this server")
            return LookFailed(queue, is_newer=True)
        except StoreUnavailable:
            return LookFailed(queue)

    async def probe(self) -> bool:
        """Put something new and take it away again; whether that worked."""
        key = self._probes + self._randomness.token(8).hex()
        try:
            created = await self._store.put_new(key, [b"probe"]) is Put.CREATED
            await self._store.delete([key])
        except StoreUnavailable:
            return False
        return created

    async def sweep(self) -> None:
        """Delete the probes of lives that ended amid one. Raises: StoreUnavailable."""
        async with aclosing(self._store.list_after(self._probes, "")) as pages:
            async for page in pages:
                await self._store.delete(page)

    async def _look(self, queue: str, tail: int) -> Sighted | Gone:
        known = self._seen.get(queue)
        slots = await list_slots(self._store, queue, after=tail)
        if not slots and known is not None and known.tail == tail:
            return known
        slots = slots if tail < 0 else await list_slots(self._store, queue)
        if not slots:
            return self._forget(queue)
        header = await self._header(queue, slots[-1])
        if header is not None and header.flags & CLOSES:
            return self._forget(queue)
        owner = await self._owner(queue, slots, header.epoch) if header is not None else None
        # What can't be read (J14) may have promised anything.
        promise_s = header.promise_ms / 1000 if header is not None else LONGEST_S
        seen = self._seen[queue] = Sighted(
            queue, slots[-1], promise_s, owner.owner if owner else "", owner.group if owner else "",
            is_yielded=header is not None and bool(header.flags & YIELDS),
            incarnation=owner.incarnation if owner else "",
            epoch=header.epoch if header is not None else 0,
        )  # fmt: skip
        return seen

    def _forget(self, queue: str) -> Gone:
        self._seen.pop(queue, None)
        self._owners.pop(queue, None)
        return Gone(queue)

    async def _header(self, queue: str, slot: int) -> Header | None:
        try:
            return await read_header(self._store, queue, slot)
        except (Corrupt, NotFound):
            return None

    async def _owner(self, queue: str, slots: list[int], epoch: int) -> Adopted | None:
        """Who wrote the `adopted` record that began this epoch, None where that can't be read.

        Epochs only rise along a log, and what begins one is never deleted (J5): it is found by halving.
        """
        if (known := self._owners.get(queue)) is not None and known[0] == epoch:
            return known[1]
        slots = list(slots)
        low, high = 0, len(slots) - 1
        while low < high:
            middle = (low + high) // 2
            header = await self._header(queue, slots[middle])
            if header is None:  # damaged, or cut off meanwhile: it tells nothing
                del slots[middle]
                high -= 1
            elif header.epoch < epoch:
                low = middle + 1
            else:
                high = middle
        owner = await self._adopted_in(queue, slots[low])
        if owner is not None:
            self._owners[queue] = (epoch, owner)
        return owner

    async def _adopted_in(self, queue: str, slot: int) -> Adopted | None:
        try:
            segment = await read_segment(self._store, queue, slot)
        except (Corrupt, NotFound):
            return None
        if not segment.header.flags & ADOPTS:
            return None
        return next((placed.record for placed in segment.records if isinstance(placed.record, Adopted)), None)
