"""A directory that loses its power when a test says so, whatever process works in it.

with lossy_mount(tmp_path / "disk", seed) as disk:
    start_the_server(store=disk.path / "store")
    ...
    kill_the_server()
    disk.crash()                     # by the flip of a coin; crash(strict=True): all that was not synced
    start_the_server(...)
"""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_START_S = 20.0


class LossyMount:
    """A mounted lossy file system, and orders to it."""

    def __init__(self, path: Path, control: Path, process: subprocess.Popen[bytes]) -> None:
        self.path = path
        self.process = process
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(control))
        self._lines = self._socket.makefile("rb")

    def crash(self, *, strict: bool = False) -> dict[str, int]:
        """Lose what was not synced: all of it, or by the flip of a coin. How many names and files were hit."""
        return self._order(do="crash", strict=strict)

    def fail(self, operation: str, *, path_part: str = "", nth: int = 1, error: int = errno.EIO) -> None:
        """Let the nth call from now of an operation fail: fsync, fsyncdir, write, link, create, unlink, mkdir, ..."""
        self._order(do="fail", operation=operation, path_part=path_part, nth=nth, error=error)

    def hang(self, operation: str, *, path_part: str = "") -> None:
        """Let an operation hang from now on, until `release`."""
        self._order(do="hang", operation=operation, path_part=path_part)

    def wait_until_hanging(self, calls: int = 1) -> None:
        """Wait until so many calls hang."""
        self._order(do="wait_until_hanging", calls=calls)

    def release(self) -> None:
        """Let go on what hangs."""
        self._order(do="release")

    def limit_writes(self, size_bytes: int | None) -> None:
        """Let one write take at most so many bytes."""
        self._order(do="limit_writes", size_bytes=size_bytes)

    def limit_room(self, size_bytes: int | None) -> None:
        """Let all files together hold at most so many bytes: ENOSPC beyond."""
        self._order(do="limit_room", size_bytes=size_bytes)

    def counters(self) -> dict[str, int]:
        """How many calls of each operation there have been."""
        return self._order(do="counters")

    def _order(self, **order: Any) -> dict[str, int]:
        self._socket.sendall(json.dumps(order).encode() + b"\n")
        answer = json.loads(self._lines.readline())
        if "error" in answer:
            raise RuntimeError(f"{order}: {answer['error']}")
        result: dict[str, int] = answer["result"]
        return result

    def close(self) -> None:
        """Let go of everything and unmount."""
        with suppress(OSError, ValueError):
            self.release()
        self._lines.close()
        self._socket.close()
        subprocess.run(["fusermount3", "-u", "-z", str(self.path)], check=False, capture_output=True)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def lossy_mount(directory: Path, seed: int) -> Iterator[LossyMount]:
    """Mount a lossy file system at `directory`/disk; the seed decides its coin.

    Never skipped: a machine without FUSE can't show that nothing is lost, and says so by an error.
    """
    mountpoint = directory / "disk"
    mountpoint.mkdir(parents=True)
    control = directory / "control"
    log = directory / "lossyfs.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.lossyfs", mountpoint, control, str(seed)],
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
    try:
        _wait_until_mounted(mountpoint, process, log)
        mount = LossyMount(mountpoint, control, process)
    except BaseException:
        process.kill()
        process.wait()
        raise
    try:
        yield mount
    except BaseException as error:
        error.add_note(f"lossy file system with seed {seed}")
        raise
    finally:
        mount.close()


def _wait_until_mounted(mountpoint: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not os.path.ismount(mountpoint):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(
                f"the lossy file system was not mounted: {log.read_text()}"
                "FUSE is needed: apt install fuse3 libfuse3-3, pip install mfusepy, /dev/fuse readable"
            )
        time.sleep(0.01)
