"""Whether a replica is too far behind the others to be asked.

How far each has come is known by the number of its last change (contextCSN, which begins with a time and grows). A
clock is no measure of lag, since a directory in which nothing changes stands still. What counts is for how long a
replica has lacked a change that another one has.

For how long it did before it or the other one was met again, nobody knows: one that was away lacks everything since. So
whenever somebody comes, whoever lacks something then is behind at once, until it has that. Where one of them takes the
writes, that one is the judge: who came while it was away is behind until it was compared with it. While it is away, so
is whoever is known to lack something that it had.
"""

from __future__ import annotations

from collections.abc import Mapping


class Lag:
    """One replica's; times are elapsed seconds."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._lacks = ""
        self._since = 0.0
        self._needs = ""
        self._is_measured = self._is_judged = True

    def begin(self, *, is_itself: bool) -> None:
        """Somebody came, itself or another one: what it lacks now it may have lacked for long."""
        self._is_measured = False
        self._is_judged = self._is_judged and not is_itself

    def note(self, own: str, newest: str, now: float, *, is_judge_there: bool = True) -> None:
        """The replica has come to `own`, and there is to have what was written up to `newest`, as far as is seen now.

        That is less than there is where it `is_judge_there` no more.
        """
        self._is_judged = self._is_judged or is_judge_there
        if not self._is_measured:
            self._is_measured, self._needs = True, newest
        if not is_judge_there:
            self._needs = max(self._needs, self._lacks)
        if own >= self._needs or (is_judge_there and newest < self._needs):  # the latter: who had it is gone for good
            self._needs = ""
        if self._lacks and own < self._lacks <= newest:
            return  # who alone had it is gone otherwise, and nobody can be asked for it
        self._lacks, self._since = (newest, now) if own < newest else ("", now)

    def is_over_limit(self, now: float) -> bool:
        """Whether a change has been lacking for too long, or since nobody knows when."""
        is_too_long = bool(self._lacks) and now - self._since > self._limit_s
        return is_too_long or bool(self._needs) or not self._is_judged


def newest_of(states: Mapping[str, str], master: str) -> str:
    """The last change that there is to have, where replicas have come to these `states`: the master's, also where it is
    older than others have, since it was restored then. While it can't be asked, the one that is ahead of all.
    """
    return states.get(master) or max(states.values(), default="")
