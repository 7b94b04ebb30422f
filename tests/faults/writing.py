"""Somebody who writes to a directory in a thread, for as long as a test lets it."""

from __future__ import annotations

import threading
from typing import Self


class Writing:
    """To be used as a context. `failed` counts the writes that were not acknowledged; `count`, those that were."""

    def __init__(self) -> None:
        self.failed = 0
        self.is_over = threading.Event()
        self._thread = threading.Thread(target=self.write)

    @property
    def count(self) -> int:
        """How many writes were acknowledged."""
        raise NotImplementedError

    def write(self) -> None:
        """Write until it is over."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.is_over.set()
        self._thread.join()

    def has_written(self, count: int) -> bool:
        """Whether so many were acknowledged."""
        assert self._thread.is_alive(), "the writer failed"
        return self.count >= count
