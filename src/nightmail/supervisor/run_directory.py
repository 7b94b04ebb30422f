"""The run directory: sockets, the pid file, and the lock by which a server runs only once."""

from __future__ import annotations

import fcntl
import os

from nightmail.errors import ConfigInvalid

PID_FILE = "supervisor.pid"


class RunDirectory:
    """The directory at `path`, ours from `take` until the process ends."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock_fd = -1

    def take(self) -> None:
        """Create it if need be and lock it; write down who has it.

        Raises:
            ConfigInvalid: it can't be used, or another supervisor has it.
        """
        try:
            os.makedirs(self.path, mode=0o711, exist_ok=True)
            self._lock_fd = os.open(os.path.join(self.path, PID_FILE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigInvalid(
                "[server] run_directory", f"{self.path}: {os.strerror(error.errno or 0)}", "name one we may write to"
            ) from error
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigInvalid(
                "[server] run_directory",
                f"{self.path} is in use by another nightmail (pid {self._pid() or 'unknown'})",
                "stop that one first, or give this server a directory of its own",
            ) from None
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, b"%d\n" % os.getpid(), 0)

    def give_to(self, uid: int, gid: int) -> None:
        """Make the user the server runs as the owner of the directory and its pid file."""
        os.chown(self.path, uid, gid)
        os.fchown(self._lock_fd, uid, gid)

    def leave(self) -> None:
        """Give it back; the pid file stays, empty, so that nobody can lock a file that is about to vanish."""
        os.ftruncate(self._lock_fd, 0)
        os.close(self._lock_fd)
        self._lock_fd = -1

    def _pid(self) -> str:
        return os.pread(self._lock_fd, 20, 0).decode("ascii", "replace").strip()
