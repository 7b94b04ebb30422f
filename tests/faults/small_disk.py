"""A disk of its own, with a real file system on it, that a test can fill to the last block."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path


class SmallDisk:
    """A mounted file system, and what takes up its room."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Leave not a block to anybody meanwhile."""
        descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT)
        try:
            self._take_all(descriptor)
            yield
        finally:
            os.close(descriptor)
            self._ballast.unlink()

    def free_bytes(self) -> int:
        """The room that is left."""
        room = os.statvfs(self.path)
        return room.f_bavail * room.f_frsize

    def _take_all(self, descriptor: int) -> None:
        taken, piece = 0, 1 << 26
        while piece >= 512:
            try:
                os.posix_fallocate(descriptor, taken, piece)
            except OSError:  # that much is not left
                piece //= 2
            else:
                taken += piece


@contextlib.contextmanager
def small_disk(directory: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Make an ext4 in a file below `directory` and mount it; needs to be root, and no test is skipped for that."""
    image, mountpoint = directory / "disk.img", directory / "disk"
    mountpoint.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(size_bytes)
    _run("mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", str(image))
    _run("mount", "-o", "loop", str(image), str(mountpoint))
    try:
        yield SmallDisk(mountpoint)
    finally:
        _run("umount", "-l", str(mountpoint))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()} (a loop device needs root)")
