"""A file on its way to a name that nobody has yet: written and synced under a temporary name, then linked."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress

from nightmail.store.directories import Directory
from nightmail.store.disk import Disk
from nightmail.store.protocol import Buffer, Put, PutBroken, PutFailed, PutUnknown, StoreFull

TEMPORARY_PREFIX = ".tmp-"

_NEVER_LINKED = frozenset(
    {errno.EACCES, errno.EDQUOT, errno.EMLINK, errno.ENOENT, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS}
)
"""What link() answers only if it did nothing; an EIO or a timeout on NFS may come from a link that landed."""


_NO_ROOM = frozenset({errno.EDQUOT, errno.EFBIG, errno.ENOSPC})


def not_created(what: str, error: Exception) -> PutFailed:
    """The fault to raise where `error` kept an object from being created."""
    full = isinstance(error, StoreFull) or (isinstance(error, OSError) and error.errno in _NO_ROOM)
    return (StoreFull if full else PutFailed)(f"{what}: {error}")


class Draft:
    """A temporary file in the directory of its final name. Its methods block."""

    __slots__ = ("_descriptor", "_directory", "_disk", "_name")

    def __init__(self, disk: Disk, directory: Directory, token: str) -> None:
        """Create the file; no other draft has this token. Raises: OSError."""
        self._disk = disk
        self._directory = directory
        self._name = TEMPORARY_PREFIX + token
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self._name, flags, 0o600, dir_fd=directory.descriptor)

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Append. Raises: OSError."""
        self._disk.write(self._descriptor, buffers)

    def publish(self, name: str) -> Put:
        """Make the content durable, give the file its name, make the name durable.

        Raises:
            PutFailed: the name was not given.
            PutUnknown: it may have been, or may yet be.
            PutBroken: it is there; whether it is durable nobody knows, and a second fsync would hide it.
        """
        try:
            self._disk.sync_file(self._descriptor)
        except OSError as error:
            raise not_created(f"{name}: fsync", error) from error
        outcome = self._link(name)
        try:
            self._disk.sync_directory(self._directory.descriptor)
        except OSError as error:
            raise PutBroken(f"{name}: fsync of its directory: {error}") from error
        return outcome

    def modified_at_s(self) -> float:
        """When the file was last written, by the file system's own clock. Raises: OSError."""
        return os.fstat(self._descriptor).st_mtime

    def discard(self) -> None:
        """Remove the temporary name. What can't be removed now is swept up later; never raises."""
        if self._descriptor < 0:
            return
        with suppress(OSError):
            os.close(self._descriptor)  # before the unlink: NFS keeps an open file under another name
        self._descriptor = -1
        with suppress(OSError):
            os.unlink(self._name, dir_fd=self._directory.descriptor)

    def _link(self, name: str) -> Put:
        try:
            self._disk.link(self._directory.descriptor, self._name, name)
        except FileExistsError:
            return Put.CREATED if self._is_ours(name) else Put.EXISTS
        except OSError as error:
            if error.errno in _NEVER_LINKED:
                raise not_created(f"{name}: link", error) from error
            raise PutUnknown(f"{name}: link: {error}") from error
        return Put.CREATED

    def _is_ours(self, name: str) -> bool:
        """Whether a link that "exists" is our own: NFS repeats a request whose answer was lost."""
        with suppress(OSError):
            there = os.stat(name, dir_fd=self._directory.descriptor, follow_symlinks=False)
            return os.path.samestat(there, os.fstat(self._descriptor))
        return False
