"""The run directory: sockets, the pid file, and the lock by which a server runs only once.

Root makes it and gives it to the user the server runs as. Whatever that user put there since is a stranger at the
next start: a link in it must not make root write to, or give away, a file that lies elsewhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat

from nightmail.admin.socket import NAME
from nightmail.errors import ConfigInvalid

PID_FILE = "supervisor.pid"
_DIRECTORY_ITSELF = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLACE = "[server] run_directory"


class RunDirectory:
    """The directory at `path`, ours from `take` until the process ends."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._directory_fd = -1
        self._lock_fd = -1

    def take(self) -> None:
        """Create it if need be and lock it; write down who has it.

        Raises:
            ConfigInvalid: it can't be used, or another supervisor has it.
        """
        self._open()
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigInvalid(
                _PLACE,
                f"{self.path} is in use by another nightmail (pid {self._pid() or 'unknown'})",
                "stop that one first, or give this server a directory of its own",
            ) from None
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, b"%d\n" % os.getpid(), 0)

    def _open(self) -> None:
        try:
            os.makedirs(self.path, mode=0o711, exist_ok=True)
            _refuse_link(self.path)
            self._directory_fd = os.open(self.path, _DIRECTORY_ITSELF)
            # O_NONBLOCK: a FIFO in its place must not keep us waiting.
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            _refuse_link(os.path.join(self.path, PID_FILE))
            self._lock_fd = os.open(PID_FILE, flags, 0o644, dir_fd=self._directory_fd)
            found = os.stat(PID_FILE, dir_fd=self._directory_fd, follow_symlinks=False)
            opened = os.fstat(self._lock_fd)
        except OSError as error:
            raise ConfigInvalid(
                _PLACE, f"{self.path}: {os.strerror(error.errno or 0)}", "name one we may write to"
            ) from error
        # What was opened has this name and no other, at one and the same moment.
        if not (stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and os.path.samestat(found, opened)):
            path = os.path.join(self.path, PID_FILE)
            raise ConfigInvalid(_PLACE, f"{path} is not a plain file of one name", "find out who made it and remove it")

    def give_to(self, uid: int, gid: int) -> None:
        """Make the user the server runs as the owner of the directory and its pid file."""
        os.fchown(self._directory_fd, uid, gid)
        os.fchown(self._lock_fd, uid, gid)

    def leave(self) -> None:
        """Give it back; the pid file stays, empty, so that nobody can lock a file that is about to vanish.

        What says of a process that it has ended (`alive/`) stays, too: whoever adopts its queue may need the proof.
        """
        with contextlib.suppress(OSError):  # somebody was quicker
            os.unlink(NAME, dir_fd=self._directory_fd)
        os.ftruncate(self._lock_fd, 0)
        os.close(self._lock_fd)
        os.close(self._directory_fd)
        self._lock_fd = self._directory_fd = -1

    def _pid(self) -> str:
        return os.pread(self._lock_fd, 20, 0).decode("ascii", "replace").strip()


def own_directory(path: str, uid: int, gid: int) -> None:
    """Make a new directory, and those above it that are missing, and give it to that user. Raises: OSError."""
    os.makedirs(path)
    fd = os.open(path, _DIRECTORY_ITSELF)
    try:
        os.fchown(fd, uid, gid)
    finally:
        os.close(fd)


def _refuse_link(path: str) -> None:
    """Say clearly what `O_NOFOLLOW` would only call a loop. Raises: ConfigInvalid."""
    if os.path.islink(path):
        raise ConfigInvalid(_PLACE, f"{path} is a symbolic link", "find out who made it and remove it")
