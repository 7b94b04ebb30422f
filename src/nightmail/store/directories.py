"""Directories that are durable before anything is put into them, kept open for speed.

A file whose directory's own name was never synced is lost with it. So the first time that this process writes into
a directory, the parent of every directory on the way is synced, whoever made it: its maker may have died before.
"""

from __future__ import annotations

import os
import stat
import threading
from collections import OrderedDict
from contextlib import suppress

from nightmail.errors import StoreUnavailable
from nightmail.store.disk import Disk

_MAX_OPEN = 64
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Directory:
    """An open directory. It is closed when the last who holds it lets go, so that no call in a thread loses it."""

    __slots__ = ("descriptor",)

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __del__(self) -> None:
        with suppress(OSError):
            os.close(self.descriptor)


class Directories:
    """The directories below one root. Its methods block, and may be called from any thread."""

    def __init__(self, root: str, disk: Disk) -> None:
        self._root = root
        self._disk = disk
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Directory] = OrderedDict()
        self._root_inode: int | None = None

    def open(self, path: str) -> Directory:
        """A directory to write into (empty: the root), made if it is not there, its name durable.

        Raises:
            OSError: it can't be made, opened or synced.
            StoreUnavailable: the root is not what it was.
        """
        with self._lock:
            known = self._open.get(path)
            if known is not None:
                self._open.move_to_end(path)
                return known
        directory = self._make(path) if path else self._make_root()
        with self._lock:
            self._open[path] = directory
            if len(self._open) > _MAX_OPEN:
                self._open.popitem(last=False)
        return directory

    def forget(self, path: str) -> None:
        """Open a directory and those above it anew at their next use: this one has just failed."""
        with self._lock:
            while path:
                self._open.pop(path, None)
                path = path.rpartition("/")[0]
            self._open.pop("", None)

    def check_root(self) -> None:
        """Make sure that a missing name means a missing object and not that the file system is no longer mounted.

        The inode number tells: it outlives a remount, and an empty mount point has another. A root that was never
        there is an empty store. Raises: OSError, StoreUnavailable.
        """
        try:
            status = os.stat(self._root)
        except FileNotFoundError:
            if self._root_inode is None:
                return
            raise
        if not stat.S_ISDIR(status.st_mode):  # whatever is in the way is not to be remembered as the root
            raise StoreUnavailable(f"{self._root} is not a directory")
        with self._lock:
            if self._root_inode is None:
                self._root_inode = status.st_ino
            if self._root_inode != status.st_ino:
                raise StoreUnavailable(f"{self._root} is not the directory it was; is its file system mounted?")

    def close(self) -> None:
        """Let go of all of them."""
        with self._lock:
            self._open.clear()

    def _make(self, path: str) -> Directory:
        above, _, name = path.rpartition("/")
        parent = self.open(above)
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent.descriptor)
        self._disk.sync_directory(parent.descriptor)
        return Directory(os.open(name, _FLAGS, dir_fd=parent.descriptor))

    def _make_root(self) -> Directory:
        self._make_durable(self._root)
        self.check_root()
        return Directory(os.open(self._root, _FLAGS))

    def _make_durable(self, path: str) -> None:
        """Make a directory and those above it; sync the names of all that are on its file system."""
        parent = os.path.dirname(path)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if path == parent or os.stat(path).st_dev != os.stat(parent).st_dev:
                return
            with suppress(PermissionError):  # not ours to read, so not ours to have made
                self._sync(parent)
        except FileNotFoundError:
            self._make_durable(parent)
            self._make_durable(path)
            return
        else:
            self._sync(parent)
        self._make_durable(parent)

    def _sync(self, path: str) -> None:
        directory = Directory(os.open(path, _FLAGS))
        self._disk.sync_directory(directory.descriptor)
