"""Which epoch of the master's role, or which master, a replica's entries come from, noted in one directory with them.

They are moved together, so that no note is ever beside other entries. Where the role moves, a replica without one has
nothing that counts: it begins anew. Entries that never had one are those of a directory's beginning; who had one, and
is to have none, is told apart from them by one that is void.
"""

from __future__ import annotations

import os

EPOCH = "epoch"
MASTER = "master"
VOID = "void"
_LIMIT_BYTES = 256


class Held:
    """The note in `directory`, that of a replica's entries: an EPOCH, or by its name the MASTER that was configured."""

    def __init__(self, directory: str, name: str = EPOCH) -> None:
        self._directory = directory
        self._path = os.path.join(directory, name)

    def read(self) -> str:
        """What is noted, as an epoch its `Role.id`, empty where there is no note. Raises: OSError."""
        try:
            with open(self._path, encoding="ascii") as file:
                return file.read(_LIMIT_BYTES).removesuffix("\n")
        except (FileNotFoundError, UnicodeDecodeError):
            return ""

    def write(self, noted: str) -> None:
        """Note it, durably. Raises: OSError."""
        unfinished = f"{self._path}.unfinished"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(f"{noted}\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, self._path)
        self._sync_directory()

    def void(self) -> None:
        """Have the entries count no more, if there are any, whatever was noted: durably. Raises: OSError."""
        if os.path.isdir(self._directory):
            self.write(VOID)

    def forget(self) -> None:
        """Take the note away, durably, before what it speaks of changes. Raises: OSError."""
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            return
        self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
