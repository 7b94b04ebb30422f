"""Memory of a tree of processes, sampled while it works.

Postfix spreads over a hundred processes that share their pages. The proportional set size (PSS) counts a shared
page once, so that neither side is wronged; the plain sum of the resident sets is told beside it.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self


class Memory(NamedTuple):
    """What a tree of processes holds."""

    pss_bytes: int
    rss_bytes: int
    processes: int


def tree(root: int) -> list[int]:
    """The pids of `root` and all that descend from it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(") ")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def of_tree(root: int) -> Memory:
    """The memory that `root` and its descendants hold now; processes that just ended count nothing."""
    pss = rss = count = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            fields = _rollup(pid)
            pss += fields.get("Pss", 0)
            rss += fields.get("Rss", 0)
            count += 1
    return Memory(pss, rss, count)


def _rollup(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(value.split()[0]) * 1024 for name, _, value in (line.partition(":") for line in lines)}


class Peak:
    """Samples a tree in the background; `memory` is the most it held, each figure by itself."""

    def __init__(self, root: int, every_s: float = 0.5) -> None:
        self._root = root
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.memory = of_tree(root)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, _tb: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _sample(self) -> None:
        while not self._over.wait(self._every_s):
            self._look()

    def _look(self) -> None:
        self.memory = Memory(*map(max, zip(self.memory, of_tree(self._root), strict=True)))
