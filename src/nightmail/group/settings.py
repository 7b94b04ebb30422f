"""How long servers wait for one another."""

from __future__ import annotations

import msgspec


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """The times that decisions go by; all of them in seconds but `promises_if_alive`.

    A queue whose owner is heard from and well must stand still for `promises_if_alive` of its promises before it is
    adopted, any other for one. `drift` is by how much, of each second, two servers' clocks may differ. A server not
    heard from for `knock_after_s` is knocked at, for `late_after_s` has its journals looked at, for `read_after_s` (two
    beats, and what they may be late by) read, and for `missing_after_s` it is missing. Another group's queue is adopted
    `orphan_after_s` after its own group could have. A queue that we handed over is left to the others for `handover_s`.
    """

    lease_s: float = 3.0
    beat_s: float = 0.2
    knock_after_s: float = 0.25
    late_after_s: float = 0.4
    read_after_s: float = 0.5
    missing_after_s: float = 0.7
    promises_if_alive: int = 10
    drift: float = 0.1
    orphan_after_s: float = 600.0
    handover_s: float = 30.0

    @property
    def slow_put_s(self) -> float:
        """A put of ours that takes longer means that the store is slow, and that a journal may stand still for that."""
        return self.lease_s / 2

    @property
    def probe_every_s(self) -> float:
        """How often the store is measured while somebody's stillness is being timed."""
        return self.lease_s / 4

    @property
    def look_often_s(self) -> float:
        """How often a journal is looked at that nobody seems to write."""
        return min(self.lease_s / 10, 0.25)

    @property
    def look_fresh_s(self) -> float:
        """How old a look may be for a queue to be prepared by it: since the last rare one it may have been closed."""
        return 2 * self.look_often_s

    @property
    def look_rarely_s(self) -> float:
        """How often one is looked at whose owner is well."""
        return 2 * self.lease_s
