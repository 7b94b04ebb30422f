"""The routing tables in force: compiled once for all switches, again when a file changes or SIGHUP asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from nightmail.errors import ConfigInvalid
from nightmail.world import Clock

_LOOK_EVERY_S = 0.25
QUIET_S = 1.0

log = structlog.get_logger()


class Tables(Protocol):
    """The tables as the supervisor needs them; both calls may block."""

    def compile(self) -> object:
        """Read all files and put what they say in force for switches that load it from now on.

        Raises:
            ConfigInvalid: a file is wrong; what was in force stays so.
        """
        ...

    def fingerprint(self) -> object:
        """Something that is equal as long as no file was changed."""
        ...


Announce = Callable[[], Awaitable[None]]
"""Has every switch that runs swap in what is in force."""


class Reloads(Protocol):
    """Whatever keeps routing in force as its source has it."""

    @property
    def fault(self) -> str:
        """Why something of what the source says is not in force, or empty."""
        ...

    @property
    def awaited(self) -> str:
        """What `compile_first` waits for, and what to do about it; empty where it does not wait."""
        ...

    async def compile_first(self) -> None:
        """Put something in force before any switch runs. Raises: ConfigInvalid: there is nothing that can be."""
        ...

    async def reload(self) -> None:
        """Put in force what the source says now. Raises: ConfigInvalid: what was in force stays so."""
        ...

    async def watch(self) -> None:
        """Put in force what changes; runs until cancelled."""
        ...


class TableReloads:
    """Compiles the tables when they change, and has them `announced` to the switches."""

    def __init__(self, tables: Tables, announce: Announce, clock: Clock) -> None:
        self.fault = ""
        self.awaited = ""
        self._tables = tables
        self._announce = announce
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._in_force: object = None

    async def compile_first(self) -> None:
        """Put the tables in force before any switch runs.

        Raises:
            ConfigInvalid: they are wrong.
        """
        self._in_force = await asyncio.to_thread(self._tables.fingerprint)
        await asyncio.to_thread(self._tables.compile)

    async def reload(self) -> None:
        """Put the tables in force as they are now.

        Raises:
            ConfigInvalid: they are wrong; those in force stay, and the log says so.
        """
        async with self._one_at_a_time:
            self._in_force = await asyncio.to_thread(self._tables.fingerprint)
            try:
                await asyncio.to_thread(self._tables.compile)
            except ConfigInvalid as fault:
                self.fault = str(fault)
                log.warning("tables refused, the last good ones stay in force", **fault.in_words())
                raise
            self.fault = ""
            await self._announce()
            log.info("tables reloaded")

    async def watch(self) -> None:
        """Reload once the files have been left alone for a second after a change; runs until cancelled."""
        seen, changed_at = self._in_force, 0.0
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            now = await asyncio.to_thread(self._tables.fingerprint)
            if now != seen:
                seen, changed_at = now, self._clock.elapsed()
            elif now != self._in_force and self._clock.elapsed() - changed_at >= QUIET_S:
                await self._reload_or_log()

    async def _reload_or_log(self) -> None:
        try:
            await self.reload()
        except ConfigInvalid:
            return  # reload has logged it
