"""Proof of life and of death on one machine: a file that a process keeps locked as long as it lives (J7)."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import NamedTuple

from nightmail.journal.records import Adopted

# Below the run directory: a file for every process that ran there, named after its incarnation.
LIVES = "alive"
_REMEMBERED_S = 7 * 86400.0


class Machine(NamedTuple):
    """Which host this is, and in which of its boots."""

    machine: str
    boot: str

    @classmethod
    def this(cls) -> Machine:
        """The host we run on; empty where it doesn't say, which proves nothing."""
        return cls(_line("/etc/machine-id"), _line("/proc/sys/kernel/random/boot_id"))

    def is_proven_dead(self, owner: Adopted) -> bool:
        """Whether the process that wrote `owner` ended: it ran on this machine, in this boot, and its lock is free."""
        if not self.machine or (owner.machine, owner.boot) != self:
            return False
        return _is_free(owner.lock)


class LifeLock:
    """Keeps `path` locked until the process ends, however it ends."""

    def __init__(self, path: str) -> None:
        """Make and lock the file. Raises: OSError."""
        self.path = path
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove_old(self, now: float) -> None:
        """Delete the files of lives that ended long ago; `now` is wall-clock seconds.

        A queue whose file is gone is adopted once its promise is over: what is lost is a few seconds.
        """
        directory = os.path.dirname(self.path)
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            with contextlib.suppress(OSError):
                if path != self.path and os.stat(path).st_mtime < now - _REMEMBERED_S and _is_free(path):
                    os.unlink(path)


def _is_free(path: str) -> bool:
    """Whether nobody holds the lock; a file that is not there proves nothing."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _line(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().strip()
    except OSError:
        return ""
