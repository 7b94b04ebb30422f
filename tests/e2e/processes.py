"""Looking at processes from outside, as an operator does with ps."""

from __future__ import annotations

import contextlib
from pathlib import Path


def tree(root: int) -> list[int]:
    """The pids of `root` and of all that descend from it, parents first."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(") ")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that only waits for its parent to notice its end does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    return False


def command_line(pid: int) -> list[str]:
    """The words a process was started with; none if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    return []


def resident_bytes(root: int) -> int:
    """The resident memory of a tree of processes, added up."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    return total
