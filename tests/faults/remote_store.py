"""`python -m tests.faults.remote_store DIRECTORY MOUNTPOINT`: a directory mounted as from afar, maybe out of reach.

Every call goes through this process and nothing is cached, so that several mounts of one directory agree with each
other, as the store's contract asks. While the process is stopped every call hangs, as on a hard NFS mount whose server
is away; what had been carried out before is there, whoever never heard of it.

with remote_mount(tmp_path / "shared", tmp_path / "mx1-disk") as mount:
    start_the_server(store=mount.path / "store")
    with mount.out_of_reach():
        ...
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mfusepy
from tests.faults.lossyfs import NOTHING_IS_CACHED

ROOT = Path(__file__).parents[2]
_START_S = 20.0
_ATTRIBUTES = ("st_mode", "st_ino", "st_nlink", "st_size", "st_blocks", "st_uid", "st_gid")
_ROOM = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail", "f_namemax")


class RemoteDirectory(mfusepy.Operations):  # type: ignore[misc]  # mfusepy's own types are partial
    """Passes every call on to the directory at `root`."""

    use_ns = True

    def __init__(self, root: str) -> None:
        self._root = root

    def _at(self, path: str) -> str:
        return self._root + path

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.fstat(fh) if fh else os.lstat(self._at(path))
        times = {"st_mtime": found.st_mtime_ns, "st_ctime": found.st_ctime_ns, "st_atime": found.st_atime_ns}
        return {name: getattr(found, name) for name in _ATTRIBUTES} | times

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, int], int]]:
        # Without a number of its own an entry is taken for a deleted one.
        own = {"st_ino": os.fstat(fh).st_ino, "st_mode": stat.S_IFDIR}
        with os.scandir(fh) as entries:
            return [(".", own, 0), ("..", own, 0), *((entry.name, _kind(entry), 0) for entry in entries)]

    def statfs(self, path: str) -> dict[str, int]:
        room = os.statvfs(self._at(path))
        return {name: getattr(room, name) for name in _ROOM}

    def create(self, path: str, mode: int, fi: object = None) -> int:
        return os.open(self._at(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def open(self, path: str, flags: int) -> int:
        return os.open(self._at(path), flags)

    def opendir(self, path: str) -> int:
        return os.open(self._at(path), os.O_RDONLY | os.O_DIRECTORY)

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    releasedir = release

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        os.truncate(fh or self._at(path), length)

    def flush(self, path: str, fh: int) -> int:
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> None:
        os.fsync(fh)

    fsyncdir = fsync

    def link(self, target: str, source: str) -> None:
        os.link(self._at(source), self._at(target), follow_symlinks=False)

    def unlink(self, path: str) -> None:
        os.unlink(self._at(path))

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        os.rename(self._at(old), self._at(new))

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(self._at(path), mode)

    def rmdir(self, path: str) -> None:
        os.rmdir(self._at(path))

    def access(self, path: str, amode: int) -> int:
        return 0

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._at(path), mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        os.chown(self._at(path), uid, gid)
        return 0

    def utimens(self, path: str, times: tuple[int, int]) -> int:
        os.utime(self._at(path), ns=times)
        return 0


def _kind(entry: os.DirEntry[str]) -> dict[str, int]:
    is_folder = entry.is_dir(follow_symlinks=False)
    return {"st_ino": entry.inode(), "st_mode": stat.S_IFDIR if is_folder else stat.S_IFREG}


class RemoteMount:
    """A mounted directory, and the process that answers for it."""

    def __init__(self, path: Path, process: subprocess.Popen[bytes]) -> None:
        self.path = path
        self._process = process

    @contextlib.contextmanager
    def out_of_reach(self) -> Iterator[None]:
        """Let every call hang meanwhile."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Unmount."""
        subprocess.run(["fusermount3", "-u", "-z", str(self.path)], check=False, capture_output=True)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def remote_mount(directory: Path, mountpoint: Path) -> Iterator[RemoteMount]:
    """Mount `directory` at `mountpoint`; an error, and no test is skipped, where there is no FUSE."""
    directory.mkdir(parents=True, exist_ok=True)
    mountpoint.mkdir(parents=True)
    log = mountpoint.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.remote_store", directory, mountpoint],
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
    mount = RemoteMount(mountpoint, process)
    try:
        deadline = time.monotonic() + _START_S
        while not os.path.ismount(mountpoint):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"not mounted, FUSE is needed: {log.read_text()}")
            time.sleep(0.01)
        yield mount
    finally:
        mount.close()


def main(directory: str, mountpoint: str) -> None:
    """Serve until unmounted, told to end by SIGTERM, or left behind by the test that started us."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    os.umask(0)
    mfusepy.FUSE(
        RemoteDirectory(directory),
        mountpoint,
        foreground=True,
        fsname="remote",
        **NOTHING_IS_CACHED,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
