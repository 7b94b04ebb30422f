"""What the bench knows of a switch it measures."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Contender(NamedTuple):
    """A running mail switch: where it takes mail, the process that all others of it descend from, its log."""

    name: str
    port: int
    pid: int
    log: Path
