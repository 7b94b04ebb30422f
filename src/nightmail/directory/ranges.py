"""Attributes with more values than a server tells at once: Active Directory tells of them range by range.

It names such an attribute `member;range=0-1499`, and has to be asked for `member;range=1500-*` then, until the range it
tells of ends with `*`, too. A list without its other members would lose mail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Protocol

from nightmail.directory.tree import Item
from nightmail.errors import DirectoryUnavailable
from nightmail.routing.expansion import MAX_RECIPIENTS

_RANGE = re.compile(r"([^;]+);range=([0-9]+)-([0-9]+|\*)", re.IGNORECASE)
_LAST = "*"
_ANYTHING = "(objectClass=*)"

Answered = Callable[[list[Item] | DirectoryUnavailable], None]


class Search(Protocol):
    """Asks a server; see `Connection.search`."""

    def __call__(
        self,
        base: str,
        filter_text: str,
        answered: Answered,
        timeout_s: float,
        *,
        is_base: bool = False,
        attributes: Iterable[str] = (),
    ) -> None:
        """Have `answered` called with what is found."""
        ...


class Ranges:
    """Completes entries range by range; `complete` is given them, or why they can't be had."""

    def __init__(self, search: Search, items: Iterable[Item], timeout_s: float, complete: Answered) -> None:
        self._search = search
        self._timeout_s = timeout_s
        self._complete = complete
        self._left = [gathered(item) for item in items]
        self._whole: list[Item] = []
        self._wanted = ""

    def ask(self) -> None:
        """Ask for the next range, of the next entry that lacks one; says when all are complete."""
        while self._left:
            self._wanted = further(self._left[-1])
            if self._wanted:
                base = self._left[-1].dn
                self._search(base, _ANYTHING, self._answered, self._timeout_s, is_base=True, attributes=[self._wanted])
                return
            self._whole.append(_settled(self._left.pop()))
        self._complete(self._whole)

    def _answered(self, answer: list[Item] | DirectoryUnavailable) -> None:
        if isinstance(answer, DirectoryUnavailable):
            self._complete(answer)
            return
        item = self._left.pop()
        if answer:  # else it was deleted meanwhile
            more = gathered(item, answer[0])
            self._left.append(more if further(more) != self._wanted else _settled(more))
        self.ask()


def is_partial(item: Item) -> bool:
    """Whether a server has told of only some of an entry's values."""
    return any(";" in name and _RANGE.fullmatch(name) for name in item.attributes)


def further(item: Item) -> str:
    """What is to be asked for next; empty where nothing is lacking, or there is more already than a list may have."""
    found = next(filter(None, map(_RANGE.fullmatch, item.attributes)), None)
    if found is None or len(item.values(found[1])) > MAX_RECIPIENTS:
        return ""
    return f"{found[1]};range={int(found[3]) + 1}-*"


def gathered(*parts: Item) -> Item:
    """One entry of the parts that were told of it. Values are under the names of their attributes.

    The name of the last range stays, without values, where it is not the end.
    """
    attributes: dict[str, tuple[str, ...]] = {}
    last: dict[str, str] = {}
    for part in parts:
        for name, values in part.attributes.items():
            found = _RANGE.fullmatch(name)
            if found is None:
                attributes.setdefault(name, values)
            else:
                attributes[found[1]] = (*attributes.get(found[1], ()), *values)
                last[found[1]] = "" if found[3] == _LAST else name
    return Item(parts[0].dn, attributes | {name: () for name in last.values() if name})


def _settled(item: Item) -> Item:
    """The entry without the names of ranges."""
    return item._replace(
        attributes={name: values for name, values in item.attributes.items() if not _RANGE.fullmatch(name)}
    )
