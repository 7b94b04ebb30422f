"""A directory as a store, whose puts are carried out by a process of its own: for a switch under load."""

from __future__ import annotations

from collections.abc import Sequence

from nightmail.store.dictation import Dictation
from nightmail.store.keys import split_key
from nightmail.store.posix import PosixStore
from nightmail.store.protocol import Buffer, Put
from nightmail.world import Randomness


class ScribedStore(PosixStore):
    """A PosixStore that has its puts done by a scribe; see `nightmail.store.scribe` for why."""

    def __init__(self, root: str, randomness: Randomness) -> None:
        super().__init__(root, randomness)
        self._dictation = Dictation(self._root, self._token, self._others)

    async def put_new(self, key: str, data: Sequence[Buffer]) -> Put:
        """Create the object if there is none; see `Store.put_new`. PutUnknown: the scribe died."""
        split_key(key)
        return await self._dictation.put(key, data)

    async def close(self) -> None:
        """Wait for what is under way, then let go of the scribe, threads and directories."""
        await self._dictation.close()
        await super().close()
