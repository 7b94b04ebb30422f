"""Crashes at chosen steps: before, or after, what a process does to the world."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from nightmail.store.protocol import BodyWriter, Buffer, Put, Store


class CrashPoint(NamedTuple):
    """The step, counted from 1, at which a process dies, and whether its effect still takes place."""

    step: int
    after: bool


class Mortality:
    """Counts the steps of a process and ends it at a point; 0 steps: never. `crashed` is set when it died."""

    def __init__(self, point: CrashPoint | None = None) -> None:
        self.steps = 0
        self.names: list[str] = []
        self.crashed = asyncio.Event()
        self._point = point

    def step(self, name: str) -> bool:
        """Count a step; whether the process dies at it. What it does after that reaches nobody."""
        self.steps += 1
        self.names.append(name)
        if self._point is not None and self.steps == self._point.step:
            self.crashed.set()
        return self.crashed.is_set()

    @property
    def takes_effect(self) -> bool:
        """Whether the step at which the process died still takes place."""
        return self._point is not None and self._point.after and self.steps == self._point.step


class MortalStore:
    """A process's way to a store, on which it may die: a call at which it dies never returns."""

    def __init__(self, store: Store, mortality: Mortality) -> None:
        self._store = store
        self._mortality = mortality

    async def put_new(self, key: str, data: Sequence[Buffer]) -> Put:
        """See `Store.put_new`."""
        if not self._mortality.step(f"put {key}"):
            return await self._store.put_new(key, data)
        if self._mortality.takes_effect:
            await self._store.put_new(key, data)
        return await _never()

    def put_body(self, key: str) -> BodyWriter:
        """See `Store.put_body`; its pieces are no steps."""
        return self._store.put_body(key)

    async def get_heads(self, keys: Sequence[str], size: int) -> list[bytes | None]:
        """See `Store.get_heads`."""
        if self._mortality.step(f"get {len(keys)} heads"):
            await _never()
        return await self._store.get_heads(keys, size)

    async def get_range(self, key: str, offset: int, size: int) -> bytes:
        """See `Store.get_range`."""
        if self._mortality.step(f"get {key}"):
            await _never()
        return await self._store.get_range(key, offset, size)

    async def list_after(self, prefix: str, after: str) -> AsyncGenerator[list[str], None]:
        """See `Store.list_after`."""
        if self._mortality.step(f"list {prefix}"):
            await _never()
        async with contextlib.aclosing(self._store.list_after(prefix, after)) as pages:
            async for page in pages:
                yield page

    async def delete(self, keys: Sequence[str]) -> None:
        """See `Store.delete`; a process that dies in it may have deleted half."""
        if not self._mortality.step(f"delete {len(keys)}"):
            await self._store.delete(keys)
            return
        if self._mortality.takes_effect:
            await self._store.delete(keys[: len(keys) // 2])
        await _never()

    async def sweep(self, prefix: str, older_than_s: float) -> int:
        """See `Store.sweep`."""
        return await self._store.sweep(prefix, older_than_s)

    async def free_bytes(self) -> int | None:
        """See `Store.free_bytes`."""
        return await self._store.free_bytes()

    async def close(self) -> None:
        """See `Store.close`."""
        await self._store.close()


async def _never() -> Put:
    """A dead process waits for ever."""
    await asyncio.Event().wait()
    raise RuntimeError("the dead have risen")
