"""Whether a replica is too far behind the others to be asked.

How far each has come is known by the number of its last change (contextCSN, which begins with a time and grows). A
clock is no measure of lag, since a directory in which nothing changes stands still. What counts is for how long a
replica has lacked a change that another one has.
"""

from __future__ import annotations

from collections.abc import Mapping


class Lag:
    """One replica's; times are elapsed seconds."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._lacks = ""
        self._since = 0.0

    def note(self, own: str, newest: str, now: float) -> None:
        """The replica has come to `own`, the one that is ahead of all to `newest`."""
        if self._lacks and own < self._lacks <= newest:
            return  # who alone had it is gone otherwise, and nobody can be asked for it
        self._lacks, self._since = (newest, now) if own < newest else ("", now)

    def is_over_limit(self, now: float) -> bool:
        """Whether a change has been lacking for too long."""
        return bool(self._lacks) and now - self._since > self._limit_s


def newest_of(states: Mapping[str, str], master: str) -> str:
    """The last change that there is to have, where replicas have come to these `states`: the master's, also where it is
    older than others have, since it was restored then. While it can't be asked, the one that is ahead of all.
    """
    return states.get(master) or max(states.values(), default="")
