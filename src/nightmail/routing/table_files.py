"""The table files that a server runs by: whether they changed, and new ones in force only if they are right (R17)."""

from __future__ import annotations

import os

from nightmail.errors import ConfigInvalid
from nightmail.routing.generations import compile_tables
from nightmail.routing.source import NAMES
from nightmail.routing.tables import TextTables

_Status = tuple[int, int, int, int]
Fingerprint = tuple[_Status | None, ...]


class TableFiles:
    """The tables in `directory`, compiled into generations in the directory `output`.

    Relative paths in routes start from `base`. `kind` says which of them are read. Both calls may block; when to make
    them is their owner's business.
    """

    def __init__(
        self, directory: str, output: str, base: str | None = None, kind: type[TextTables] = TextTables
    ) -> None:
        self._kind = kind
        self._directory = directory
        self._output = output
        self._base = base
        self._in_force: frozenset[str] = frozenset()

    def fingerprint(self) -> Fingerprint:
        """Something that is equal as long as no file was changed."""
        return tuple(_status(os.path.join(self._directory, name)) for name in NAMES)

    def compile(self) -> str:
        """Put the files as they are now into force, as a new generation; return its path.

        Raises:
            ConfigInvalid: one of them is wrong, or has disappeared; what was in force stays so.
        """
        present = frozenset(name for name, status in zip(NAMES, self.fingerprint(), strict=True) if status)
        for name in NAMES:
            if name in self._in_force and name not in present:
                path = os.path.join(self._directory, name)
                raise ConfigInvalid(path, "the file has disappeared", "put it back; an empty file has no entries")
        path = compile_tables(self._directory, self._output, self._base, self._kind)
        self._in_force = present
        return path


def _status(path: str) -> _Status | None:
    """What changes when a file's content does, or None where there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
