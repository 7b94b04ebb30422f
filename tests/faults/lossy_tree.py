"""A tree of files that keeps apart what was written and what was synced, and can lose the difference.

The rules are those that POSIX leaves a file system free to follow, none kinder:

- a file's content is durable when the file was synced; a name in a directory when the directory was;
- a crash either loses all that was not synced, or lets every unsynced block of a file, its length, and every unsynced
  name survive or not by the flip of a coin: torn files, names without content, content without names, any order;
- a sync that fails has dropped what it should have written: what was read before is still read, and the next sync
  succeeds without writing it (as Linux does).
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from itertools import count

BLOCK_BYTES = 4096


class File:
    """Bytes, and what of them would outlive a power loss."""

    def __init__(self, inode: int) -> None:
        self.inode = inode
        self.links = 0
        self.content = bytearray()
        self._durable = bytearray()
        self._unsynced: set[int] = set()

    def write(self, data: bytes, offset: int) -> None:
        """Write at an offset; a gap before it is zeros."""
        self.resize(max(len(self.content), offset + len(data)))
        self.content[offset : offset + len(data)] = data
        self._unsynced.update(range(offset // BLOCK_BYTES, -(-(offset + len(data)) // BLOCK_BYTES)))

    def resize(self, size_bytes: int) -> None:
        """Cut or fill up with zeros."""
        del self.content[size_bytes:]
        self.content.extend(bytes(size_bytes - len(self.content)))

    def sync(self) -> None:
        """Make the content durable."""
        self._keep(len(self.content), self._unsynced)
        self._unsynced.clear()

    def fail_sync(self) -> None:
        """Drop what a sync would have written, and forget that it ever had to be."""
        self._unsynced.clear()

    def crash(self, coin: random.Random | None) -> bool:
        """Be as after a power loss: strictly without what was not synced, or by the coin. Whether anything changed."""
        before = bytes(self.content)
        if coin is not None:
            size = coin.choice((len(self._durable), len(self.content)))
            self._keep(size, {block for block in self._unsynced if coin.random() < 0.5})
        self.content = bytearray(self._durable)
        self._unsynced.clear()
        return before != self.content

    def _keep(self, size_bytes: int, blocks: set[int]) -> None:
        durable = self._durable
        del durable[size_bytes:]
        durable.extend(bytes(size_bytes - len(durable)))
        for block in blocks:
            begin, end = block * BLOCK_BYTES, min((block + 1) * BLOCK_BYTES, size_bytes)
            if begin < end:
                durable[begin:end] = self.content[begin:end]


class Folder:
    """Names, and which of them would outlive a power loss."""

    def __init__(self, inode: int) -> None:
        self.inode = inode
        self.links = 2
        self.names: dict[str, Node] = {}
        self._durable: dict[str, Node] = {}
        self._unsynced: set[str] = set()

    def set(self, name: str, node: Node | None) -> None:
        """Give a name to a node, or take it away."""
        if node is None:
            del self.names[name]
        else:
            self.names[name] = node
        self._unsynced.add(name)

    def sync(self) -> None:
        """Make the names durable."""
        for name in self._unsynced:
            self._keep(name)
        self._unsynced.clear()

    def fail_sync(self) -> None:
        """Drop what a sync would have written, and forget that it ever had to be."""
        self._unsynced.clear()

    def crash(self, coin: random.Random | None) -> int:
        """Be as after a power loss. How many changes of names were lost."""
        before = self.names
        for name in sorted(self._unsynced) if coin is not None else ():
            if coin is not None and coin.random() < 0.5:
                self._keep(name)
        self.names = dict(self._durable)
        self._unsynced.clear()
        return sum(before.get(name) is not self.names.get(name) for name in before.keys() | self.names.keys())

    def _keep(self, name: str) -> None:
        if name in self.names:
            self._durable[name] = self.names[name]
        else:
            self._durable.pop(name, None)


Node = File | Folder


class LossyTree:
    """A root folder and all below it. Paths begin with `/`. Methods raise OSError as system calls do."""

    def __init__(self, seed: int) -> None:
        self._inodes = count(1)
        self._coin = random.Random(seed)
        self.root = Folder(next(self._inodes))

    def find(self, path: str) -> Node:
        """The node at a path."""
        node: Node = self.root
        for name in filter(None, path.split("/")):
            if not isinstance(node, Folder):
                raise _error(errno.ENOTDIR)
            if name not in node.names:
                raise _error(errno.ENOENT)
            node = node.names[name]
        return node

    def make_file(self, path: str) -> File:
        """A new, empty file."""
        file = File(next(self._inodes))
        self._place(path, file)
        return file

    def make_folder(self, path: str) -> None:
        """A new, empty folder."""
        self._place(path, Folder(next(self._inodes)))

    def link(self, old: str, new: str) -> None:
        """A second name for a file."""
        self._place(new, self._file(old))

    def unlink(self, path: str) -> None:
        """One name less for a file."""
        self._file(path).links -= 1
        self._remove(path)

    def remove_folder(self, path: str) -> None:
        """No more of an empty folder."""
        node = self.find(path)
        if not isinstance(node, Folder):
            raise _error(errno.ENOTDIR)
        if node.names:
            raise _error(errno.ENOTEMPTY)
        self._remove(path)

    def rename(self, old: str, new: str) -> None:
        """Another name, in place of whatever file has it."""
        node = self.find(old)
        folder, name = self._folder_of(new)
        replaced = folder.names.get(name)
        if replaced is node:
            return
        if isinstance(replaced, File):
            replaced.links -= 1
        folder.set(name, node)
        self._remove(old)

    def size_bytes(self) -> int:
        """The content of all files."""
        return sum(len(node.content) for node in self._nodes() if isinstance(node, File))

    def crash(self, *, strict: bool) -> dict[str, int]:
        """Lose what was not synced: all of it, or by the flip of a coin. What was lost, in numbers."""
        coin = None if strict else self._coin
        lost_names = torn_files = 0
        for node in self._nodes():  # a folder has lost its names before they are followed
            if isinstance(node, Folder):
                lost_names += node.crash(coin)
            else:
                torn_files += node.crash(coin)
        self._count_links()
        return {"lost_names": lost_names, "torn_files": torn_files}

    def _nodes(self) -> Iterator[Node]:
        seen: set[int] = set()
        waiting: list[Node] = [self.root]
        while waiting:
            node = waiting.pop()
            if node.inode not in seen:
                seen.add(node.inode)
                yield node
                if isinstance(node, Folder):
                    waiting.extend(node.names.values())

    def _count_links(self) -> None:
        nodes = list(self._nodes())
        for node in nodes:
            if isinstance(node, File):
                node.links = 0
        for node in nodes:
            for child in node.names.values() if isinstance(node, Folder) else ():
                if isinstance(child, File):
                    child.links += 1

    def _folder_of(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rpartition("/")
        folder = self.find(above)
        if not isinstance(folder, Folder):
            raise _error(errno.ENOTDIR)
        return folder, name

    def _place(self, path: str, node: Node) -> None:
        folder, name = self._folder_of(path)
        if name in folder.names:
            raise _error(errno.EEXIST)
        folder.set(name, node)
        if isinstance(node, File):
            node.links += 1

    def _remove(self, path: str) -> None:
        folder, name = self._folder_of(path)
        folder.set(name, None)

    def _file(self, path: str) -> File:
        node = self.find(path)
        if not isinstance(node, File):
            raise _error(errno.EISDIR)
        return node


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
