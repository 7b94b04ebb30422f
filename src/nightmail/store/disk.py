"""The system calls that durability rests on, in one place, so that a test can take one away and see the loss."""

from __future__ import annotations

import os
from collections.abc import Sequence

from nightmail.store.protocol import Buffer

_MAX_BUFFERS = os.sysconf("SC_IOV_MAX")


class Disk:
    """Writes, syncs and links. Every method may block for as long as the file system does; all raise OSError."""

    def write(self, descriptor: int, buffers: Sequence[Buffer]) -> None:
        """Write all of the buffers, however many calls that takes."""
        size = sum(map(len, buffers))
        if len(buffers) <= _MAX_BUFFERS:
            written = os.writev(descriptor, buffers)
            if written == size:
                return
        else:
            written = 0
        self._write_rest(descriptor, buffers, written)

    def _write_rest(self, descriptor: int, buffers: Sequence[Buffer], written: int) -> None:
        rest = [memoryview(buffer) for buffer in buffers]
        first = 0
        while True:
            while first < len(rest) and written >= len(rest[first]):
                written -= len(rest[first])
                first += 1
            if first == len(rest):
                return
            rest[first] = rest[first][written:]
            written = os.writev(descriptor, rest[first : first + _MAX_BUFFERS])

    def sync_file(self, descriptor: int) -> None:
        """Make what was written durable."""
        os.fsync(descriptor)

    def sync_directory(self, descriptor: int) -> None:
        """Make the names in a directory durable."""
        os.fsync(descriptor)

    def link(self, directory: int, old: str, new: str) -> None:
        """Give a file a second name, if nobody has that name: the one atomic step of `put_new`."""
        os.link(old, new, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
