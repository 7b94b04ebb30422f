"""Whether a client makes progress: by what it says, and while it sends a body, by how much of it comes."""

from __future__ import annotations

_SLOWEST_BODY_BYTES_S = 1024


class Progress:
    """What is known of one session's progress; times are elapsed seconds.

    Progress counts from the look that first finds it, so that an idle session ends up to two looks late. A body makes
    progress only as fast as the slowest line that one could want to wait for.
    """

    def __init__(self, now: float) -> None:
        self.has_moved = False
        self.at = now
        self._body_since = 0.0
        self._body_bytes = 0

    def look(self, now: float) -> None:
        """Note whether there was any since the last look."""
        if self.has_moved:
            self.has_moved = False
            self.at = now

    def begin_body(self, now: float) -> None:
        """A body comes from here on."""
        self._body_since = now
        self._body_bytes = 0

    def add_body(self, size_bytes: int) -> None:
        """So much of it came."""
        self._body_bytes += size_bytes

    def end_body(self) -> None:
        """It is over."""
        self._body_since = 0.0

    def since(self) -> float:
        """From when on the client is being waited for."""
        if not self._body_since:
            return self.at
        return min(self.at, self._body_since + self._body_bytes / _SLOWEST_BODY_BYTES_S)
