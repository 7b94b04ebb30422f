"""Starting the programs under measurement, and ending exactly those: by pid, also on Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from nightmail.world import SystemClock

CLOCK = SystemClock()
_PAUSE = threading.Event()


class BenchFailed(Exception):
    """The measurement can't go on; the text says why and what to do."""


def leave_on_sigterm() -> None:
    """Turn SIGTERM into SystemExit, so that every context manager ends its process."""

    def leave(_signum: int, _frame: FrameType | None) -> None:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, leave)


def pause(seconds: float) -> None:
    """Let `seconds` go by."""
    _PAUSE.wait(seconds)


def wait_until(reached: Callable[[], bool], what: str, timeout_s: float, every_s: float = 0.01) -> float:
    """Seconds until `reached()` was true. Raises: BenchFailed after `timeout_s`."""
    begin = CLOCK.elapsed()
    while not reached():
        if CLOCK.elapsed() - begin > timeout_s:
            raise BenchFailed(f"{what}: not within {timeout_s:.0f} s")
        pause(every_s)
    return CLOCK.elapsed() - begin


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def greets(port: int) -> bool:
    """Whether an SMTP server on loopback answers a connection with 220."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        return connection.recv(4) == b"220 "
    return False


@contextlib.contextmanager
def running(command: Sequence[str], log: Path, *, stop_s: float = 10.0) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a session of its own with its output in `log`; on leaving it gets SIGTERM, later SIGKILL."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        stop(process, stop_s)


def stop(process: subprocess.Popen[bytes], within_s: float) -> None:
    """End a program of ours and all that it started: SIGTERM, and SIGKILL if that does not help in time."""
    if process.poll() is None:
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(within_s)
    with contextlib.suppress(BenchFailed):
        wait_until(lambda: not _group_lives(process.pid), "the end of a program", within_s)
    kill(process)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for a program of ours and everything in its session's group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def tail(log: Path, lines: int = 20) -> str:
    """The end of a log, for a message about a failure."""
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return ""
