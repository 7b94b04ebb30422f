"""The operator's Unix socket in the run directory: only the user the server runs as may connect."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

NAME = "admin.sock"
_PATH_MAX_BYTES = 107


def bind_admin_socket(run_directory: str) -> socket.socket:
    """A listening socket in the place of one that a former server left. Raises: OSError."""
    path = os.path.join(run_directory, NAME)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o177)
    try:
        with _short(path) as short:
            listener.bind(short)
        listener.listen()
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(umask)
    return listener


def connect_admin_socket(run_directory: str, timeout_s: float) -> socket.socket:
    """A connection to the server that runs in the directory. Raises: OSError where there is none."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        with _short(os.path.join(run_directory, NAME)) as short:
            connection.connect(short)
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _short(path: str) -> Iterator[str]:
    """The path, or another name of the same place where the kernel would find it too long (unix(7))."""
    if len(os.fsencode(path)) <= _PATH_MAX_BYTES:
        yield path
        return
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{os.path.basename(path)}"
    finally:
        os.close(directory)
