"""What has changed of late: whether an answer may be older than a change that was heard of while it was on its way.

An answer and a change of the same entry come on two connections, in any order.
"""

from __future__ import annotations

from collections.abc import Iterable

_KEPT = 10_000


class RecentChanges:
    """The last changes by what they are known by: ids, folded names and keys of entries.

    Moments are numbers that grow with each change. Too many changes are remembered as that everything has changed.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self.moment = 0
        self._kept = kept
        self._last: dict[str, int] = {}
        self._everything = 0

    def note(self, marks: Iterable[str]) -> None:
        """Something that is known by these has changed."""
        self.moment += 1
        self._last.update(dict.fromkeys(marks, self.moment))
        if len(self._last) > self._kept:
            self._last.clear()
            self._everything = self.moment

    def note_everything(self) -> None:
        """Anything may have changed."""
        self.moment += 1
        self._last.clear()
        self._everything = self.moment

    def is_any_since(self, moment: int, marks: Iterable[str]) -> bool:
        """Whether something that is known by one of these has changed after that moment."""
        return self._everything > moment or any(self._last.get(mark, 0) > moment for mark in marks)
