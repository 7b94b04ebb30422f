"""The time of day of a server, as libfaketime tells it to all of its processes: set by a test while they run.

The clocks that leases and timeouts go by are left as they are, as an administrator's or a time server's hand leaves
them, and so are the times of files.
"""

from __future__ import annotations

import os
from pathlib import Path

_PLACES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1")
SHARED_MEMORY = Path("/dev/shm")


class WallClock:
    """One server's time of day. `environment` is what its processes need to go by it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set_by(0)
        self.environment = {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # a fix for other versions of the C library, which slows waits down
            "NO_FAKE_STAT": "1",
        }

    def set_by(self, offset_s: int) -> None:
        """Let it differ from the machine's, from within a second on."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{offset_s:+d}\n")
        os.replace(fresh, self._file)


def left_behind() -> set[tuple[str, int]]:
    """What the library has in shared memory, for processes that were killed too: names, and pids of their makers."""
    names = (path.name for path in SHARED_MEMORY.glob("*faketime_*"))
    return {(name, int(name.rpartition("_")[2])) for name in names if name.rpartition("_")[2].isdecimal()}


def _library() -> Path:
    found = [path for pattern in _PLACES for path in Path("/").glob(pattern.lstrip("/"))]
    if not found:
        raise RuntimeError("libfaketime is not installed: apt install faketime")
    return found[0]
