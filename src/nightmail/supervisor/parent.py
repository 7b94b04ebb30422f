"""A switch dies with its supervisor, however the supervisor died."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct

_PR_SET_PDEATHSIG = 1
_CREDENTIALS = struct.Struct("3i")


def die_with_supervisor(control: socket.socket) -> None:
    """Have the kernel kill this process when the supervisor at the other end of `control` dies; to be called first.

    A change of user clears this, so it is called again after one.

    Raises:
        SystemExit: the supervisor died before this could be arranged.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != _maker_of(control):
        raise SystemExit("nightmail: the supervisor is gone")


def _maker_of(pair: socket.socket) -> int:
    """The process that made the socket pair (unix(7), SO_PEERCRED)."""
    credentials = pair.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(credentials)[0]
    return pid
