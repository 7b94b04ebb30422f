"""Times and their spread, as they are told."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def seconds(times: Sequence[float]) -> list[str]:
    """Median, shortest and longest; dashes for no times at all."""
    if not times:
        return ["-"] * 3
    return [f"{value:.2f} s" for value in (statistics.median(times), min(times), max(times))]


HEAD = ["median", "shortest", "longest"]
