"""`python -m tests.faults.lossyfs MOUNTPOINT CONTROL_SOCKET SEED`: a file system that a test can pull the plug of.

A `LossyTree` mounted by FUSE, in the foreground. Nothing is cached by the kernel, so every write and sync arrives
here. The control socket takes one JSON object per line and answers each with one (see `Orders`); `LossyMount` in
`power.py` speaks it.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import socketserver
import stat
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import mfusepy
from tests.faults.lossy_tree import BLOCK_BYTES, File, Folder, LossyTree, Node

T = TypeVar("T")
_WAIT_S = 30.0


@dataclass
class Fault:
    """The `nth` call from now of an operation on a path that contains `path_part` ends with `error`."""

    operation: str
    path_part: str
    nth: int
    error: int


# The kernel is to ask us each time: what it remembers would outlive what happens to the disk.
NOTHING_IS_CACHED: dict[str, Any] = {
    "direct_io": True, "use_ino": True, "hard_remove": True,
    "attr_timeout": 0, "entry_timeout": 0, "negative_timeout": 0,
}  # fmt: skip


class Orders:
    """What the test has ordered to go wrong, and how often what has happened."""

    def __init__(self, tree: LossyTree) -> None:
        self.tree = tree
        self.changed = threading.Condition(threading.RLock())
        self.generation = 0
        self.write_limit_bytes: int | None = None
        self.capacity_bytes: int | None = None
        self._counts: Counter[str] = Counter()
        self._faults: list[Fault] = []
        self._hanging: list[tuple[str, str]] = []

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out an order from the control socket."""
        with self.changed:
            answer: dict[str, Any] | None = getattr(self, "_" + order.pop("do"))(**order)
            self.changed.notify_all()
            return answer or {}

    def _crash(self, *, strict: bool) -> dict[str, int]:
        self.generation += 1
        self._counts["crash"] += 1
        return self.tree.crash(strict=strict)

    def _fail(self, operation: str, path_part: str, nth: int, error: int) -> None:
        self._faults.append(Fault(operation, path_part, nth, error))

    def _hang(self, operation: str, path_part: str) -> None:
        self._hanging.append((operation, path_part))

    def _release(self) -> None:
        self._hanging.clear()

    def _limit_writes(self, size_bytes: int | None) -> None:
        self.write_limit_bytes = size_bytes

    def _limit_room(self, size_bytes: int | None) -> None:
        self.capacity_bytes = size_bytes

    def _counters(self) -> dict[str, int]:
        return dict(self._counts)

    def _wait_until_hanging(self, calls: int) -> None:
        if not self.changed.wait_for(lambda: self._counts["hanging"] >= calls, _WAIT_S):
            raise TimeoutError(f"{self._counts['hanging']} calls hang, not {calls}")

    def begin(self, operation: str, path: str) -> Fault | None:
        """Called at the start of every operation, under the lock: hangs if it has to; the fault it has to meet."""
        self._counts[operation] += 1
        if self._hangs(operation, path):
            self._counts["hanging"] += 1
            self.changed.notify_all()
            self.changed.wait_for(lambda: not self._hangs(operation, path))
            self._counts["hanging"] -= 1
        for fault in self._faults:
            if fault.operation == operation and fault.path_part in path:
                fault.nth -= 1
                if fault.nth == 0:
                    self._faults.remove(fault)
                    return fault
        return None

    def _hangs(self, operation: str, path: str) -> bool:
        return any(operation == hung and part in path for hung, part in self._hanging)


class LossyFileSystem(mfusepy.Operations):  # type: ignore[misc]  # mfusepy's own types are partial
    """The tree as FUSE sees it. Descriptors from before a crash answer ESTALE, like those of a rebooted server."""

    use_ns = True

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._tree = orders.tree
        self._open: dict[int, tuple[Node, str, int]] = {}
        self._last_handle = 0

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        return self._do("getattr", path, lambda: _attributes(self._open[fh][0] if fh else self._tree.find(path)))

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, Any], int]]:
        return self._do("readdir", path, lambda: self._entries(self._folder(fh)))

    def statfs(self, path: str) -> dict[str, int]:
        return self._do("statfs", path, self._room)

    def create(self, path: str, mode: int, fi: object = None) -> int:
        return self._do("create", path, lambda: self._handle(self._tree.make_file(path), path))

    def open(self, path: str, flags: int) -> int:
        return self._do("open", path, lambda: self._handle(self._tree.find(path), path))

    def opendir(self, path: str) -> int:
        return self._do("opendir", path, lambda: self._handle(self._tree.find(path), path))

    def release(self, path: str, fh: int) -> int:
        with self._orders.changed:
            self._open.pop(fh, None)
        return 0

    releasedir = release

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return self._do("read", self._path(fh), lambda: bytes(self._file(fh).content[offset : offset + size]))

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return self._do("write", self._path(fh), lambda: self._write(data, offset, fh))

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        node = self._file(fh) if fh else self._tree.find(path)
        if isinstance(node, File):
            self._do("truncate", path, lambda: node.resize(length))

    def fsync(self, path: str, datasync: int, fh: int) -> None:
        self._do("fsync", self._path(fh), lambda: self._file(fh).sync(), lambda: self._file(fh).fail_sync())

    def fsyncdir(self, path: str, datasync: int, fh: int) -> None:
        self._do("fsyncdir", self._path(fh), lambda: self._folder(fh).sync(), lambda: self._folder(fh).fail_sync())

    def link(self, target: str, source: str) -> None:
        self._do("link", target, lambda: self._tree.link(source, target))

    def unlink(self, path: str) -> None:
        self._do("unlink", path, lambda: self._tree.unlink(path))

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        self._do("rename", new, lambda: self._tree.rename(old, new))

    def mkdir(self, path: str, mode: int) -> None:
        self._do("mkdir", path, lambda: self._tree.make_folder(path))

    def rmdir(self, path: str) -> None:
        self._do("rmdir", path, lambda: self._tree.remove_folder(path))

    def flush(self, path: str, fh: int) -> int:
        return 0

    def access(self, path: str, amode: int) -> int:
        return 0

    def chmod(self, path: str, mode: int) -> int:
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: object = None) -> int:
        return 0

    def _do(self, operation: str, path: str, act: Callable[[], T], on_fault: Callable[[], object] | None = None) -> T:
        with self._orders.changed:
            fault = self._orders.begin(operation, path)
            if fault is not None:
                if on_fault is not None:
                    on_fault()
                raise OSError(fault.error, os.strerror(fault.error))
            return act()

    def _handle(self, node: Node, path: str) -> int:
        self._last_handle += 1
        self._open[self._last_handle] = (node, path, self._orders.generation)
        return self._last_handle

    def _path(self, handle: int) -> str:
        return self._open[handle][1]

    def _node(self, handle: int | None) -> Node:
        node, _, generation = self._open[handle or 0]
        if generation != self._orders.generation:
            raise OSError(errno.ESTALE, "from before the crash")
        return node

    def _file(self, handle: int | None) -> File:
        node = self._node(handle)
        if not isinstance(node, File):
            raise OSError(errno.EISDIR, "a folder")
        return node

    def _folder(self, handle: int) -> Folder:
        node = self._node(handle)
        if not isinstance(node, Folder):
            raise OSError(errno.ENOTDIR, "a file")
        return node

    def _entries(self, folder: Folder) -> list[tuple[str, dict[str, Any], int]]:
        nodes: dict[str, Node] = {".": folder, "..": folder, **folder.names}
        return [(name, _attributes(node), 0) for name, node in nodes.items()]

    def _write(self, data: bytes, offset: int, handle: int) -> int:
        file = self._file(handle)
        data = data[: self._orders.write_limit_bytes]
        growth = max(0, offset + len(data) - len(file.content))
        room = self._orders.capacity_bytes
        if room is not None and self._tree.size_bytes() + growth > room:
            raise OSError(errno.ENOSPC, "no room")
        file.write(data, offset)
        return len(data)

    def _room(self) -> dict[str, int]:
        size = self._orders.capacity_bytes
        blocks = (1 << 40 if size is None else size) // BLOCK_BYTES
        free = max(0, blocks - self._tree.size_bytes() // BLOCK_BYTES)
        return {
            "f_bsize": BLOCK_BYTES,
            "f_frsize": BLOCK_BYTES,
            "f_blocks": blocks,
            "f_bfree": free,
            "f_bavail": free,
            "f_namemax": 255,
        }


def _attributes(node: Node) -> dict[str, Any]:
    size = len(node.content) if isinstance(node, File) else 0
    kind = stat.S_IFREG | 0o600 if isinstance(node, File) else stat.S_IFDIR | 0o700
    return {
        "st_mode": kind,
        "st_ino": node.inode,
        "st_nlink": node.links,
        "st_size": size,
        "st_blocks": -(-size // 512),
        "st_uid": os.getuid(),
        "st_gid": os.getgid(),
    }


class _Conversation(socketserver.StreamRequestHandler):
    """One connection to the control socket."""

    orders: Orders

    def handle(self) -> None:
        for line in self.rfile:
            try:
                answer: dict[str, Any] = {"result": self.orders.obey(json.loads(line))}
            except (OSError, TypeError, AttributeError) as error:
                answer = {"error": repr(error)}
            self.wfile.write(json.dumps(answer).encode() + b"\n")


def main(mountpoint: str, control: str, seed: str) -> None:
    """Serve until unmounted, told to end by SIGTERM, or left behind by the test that started us."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    _Conversation.orders = Orders(LossyTree(int(seed)))
    server = socketserver.ThreadingUnixStreamServer(control, _Conversation)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    mfusepy.FUSE(
        LossyFileSystem(_Conversation.orders),
        mountpoint,
        foreground=True,
        fsname="lossyfs",
        **NOTHING_IS_CACHED,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
