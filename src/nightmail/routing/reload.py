"""Notices that table files changed, and puts the new ones into force only if they are right (R17)."""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from nightmail.errors import ConfigInvalid
from nightmail.routing.generations import compile_tables
from nightmail.routing.tables import NAMES
from nightmail.world import Clock

QUIET_S = 1.0

Signature = tuple[tuple[int, int, int, int] | None, ...]


class Reloaded(msgspec.Struct, frozen=True):
    """What came of a reload: the path of the new generation, or the error that keeps the old one in force."""

    path: str = ""
    error: ConfigInvalid | None = None


class TableWatcher:
    """Says when tables are to be compiled again, and does so; whoever owns it asks several times a second.

    A reload is due one second after the last change, so that a half-written set of files is left alone, or at once on
    demand. Tables that were refused are tried again when they change again.
    """

    def __init__(
        self,
        directory: str,
        output: str,
        clock: Clock,
        base: str | None = None,
        compile_into: Callable[[str, str, str | None], str] = compile_tables,
    ) -> None:
        self._directory = directory
        self._output = output
        self._base = base
        self._clock = clock
        self._compile = compile_into
        self._tried: Signature | None = None
        self._seen: Signature | None = None
        self._seen_at_s = 0.0
        self._demanded = False
        self._in_force: frozenset[str] = frozenset()

    def demand(self) -> None:
        """Make a reload due now, whether anything changed or not (SIGHUP)."""
        self._demanded = True

    def due(self) -> bool:
        """Whether `reload` should be called now. Costs a look at each file's status."""
        signature = self._signature()
        if signature != self._seen:
            self._seen, self._seen_at_s = signature, self._clock.elapsed()
        if self._demanded:
            return True
        return signature != self._tried and self._clock.elapsed() - self._seen_at_s >= QUIET_S

    def reload(self) -> Reloaded:
        """Compile the tables as they are now. May take seconds, and may be called in a thread of its own."""
        self._demanded = False
        # Before the files are read: what changes meanwhile is a change after this reload.
        self._tried = self._signature()
        present = frozenset(name for name, status in zip(NAMES, self._tried, strict=True) if status)
        try:
            self._check_none_disappeared(present)
            path = self._compile(self._directory, self._output, self._base)
        except ConfigInvalid as error:
            return Reloaded(error=error)
        self._in_force = present
        return Reloaded(path=path)

    def poll(self) -> Reloaded | None:
        """Reload if it is due; None if it isn't."""
        return self.reload() if self.due() else None

    def _check_none_disappeared(self, present: frozenset[str]) -> None:
        for name in NAMES:
            if name in self._in_force and name not in present:
                raise ConfigInvalid(
                    os.path.join(self._directory, name),
                    "the file has disappeared, the tables as they were stay in force",
                    "put it back; an empty file has no entries",
                )

    def _signature(self) -> Signature:
        return tuple(_status(os.path.join(self._directory, name)) for name in NAMES)


def _status(path: str) -> tuple[int, int, int, int] | None:
    """What changes when a file's content does, or None where there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
