"""A ledger of writes to a directory: what was acknowledged, held against what a replica has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count, islice

from tests.directory.slapd_server import SUFFIX, Slapd

from nightmail.directory.tree import Item, item_of
from nightmail.directory.writing import Directory

_GONE = "no entry"
_FIRST = "as it was added"


class Acknowledged:
    """Mailboxes below `base` that are added, changed and deleted one by one, and what each has to be from then on.

    A write that nobody answered may have happened or not: only for its own entry either is right.
    """

    def __init__(self, base: str = SUFFIX) -> None:
        self.count = 0
        self._base = base
        self._may_be: dict[str, set[str]] = {}
        self._versions = count(1)
        self._numbers = count()

    def add(self, directory: Directory, how_many: int = 1) -> list[str]:
        """Add so many; their names."""
        items = [item_of("mailboxes", f"box{next(self._numbers)}@x.org", "", self._base) for _ in range(how_many)]
        for item in items:
            self._write(item.dn, _FIRST, lambda item=item: directory.add([_saying(item, _FIRST)]))  # type: ignore[misc]
        return [item.dn for item in items]

    def change(self, directory: Directory, how_many: int = 1) -> list[str]:
        """Change so many of those that are there, the oldest first; their names."""
        return [self._change(directory, name) for name in self._there(how_many)]

    def delete(self, directory: Directory, how_many: int = 1) -> list[str]:
        """Delete so many of those that are there, the oldest first; their names."""
        names = self._there(how_many)
        for name in names:
            self._write(name, _GONE, lambda name=name: directory.delete([name]))  # type: ignore[misc]
        return names

    def contradictions(self, server: Slapd) -> list[str]:
        """What a replica has that is not as it was acknowledged."""
        with server.as_account("reader") as directory:
            found = {item.dn: item.attributes["sn"][0] for item in directory.search(self._base, "(uid=box*)")}
        return [
            f"{name}: {found.get(name, _GONE)}, acknowledged: {' or '.join(sorted(right))}"
            for name, right in self._may_be.items()
            if found.get(name, _GONE) not in right
        ]

    def _change(self, directory: Directory, name: str) -> str:
        version = f"version {next(self._versions)}"
        self._write(name, version, lambda: directory.replace([Item(name, {"sn": (version,)})]))
        return name

    def _write(self, name: str, state: str, write: Callable[[], object]) -> None:
        self._may_be.setdefault(name, {_GONE}).add(state)
        write()
        self._may_be[name] = {state}
        self.count += 1

    def _there(self, how_many: int) -> list[str]:
        certain: Iterable[str] = (name for name, states in self._may_be.items() if len(states) == 1)
        return [*islice((name for name in certain if _GONE not in self._may_be[name]), how_many)]


def _saying(item: Item, state: str) -> Item:
    return item._replace(attributes={**item.attributes, "sn": (state,)})
