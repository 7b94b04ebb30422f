"""The time of day of a replica, which a test sets while it runs."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")


class TimeOfDay:
    """One replica's; `environment` is what makes slapd go by it. Needs gcc."""

    def __init__(self, directory: Path) -> None:
        library = directory / "time_of_day.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE)], check=True)
        self._file = directory / "time_of_day"
        self.set_by(0)
        self.environment = {"LD_PRELOAD": str(library), "TIME_OF_DAY": str(self._file)}

    def set_by(self, ahead_s: int) -> None:
        """Let it differ from the machine's by so much, at once."""
        self.ahead_s = ahead_s
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("=q", ahead_s))
