"""Which of the directory's entries come into force: every good one, and for a bad one the last that was good (R17).

A file of tables is written by one person and read as a whole. A directory has many writers, and an entry that is wrong
must not keep the others' changes waiting. It is refused by its name, with the reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from nightmail.directory.tree import CONTAINERS, Item, folded_name, lines_of, with_members
from nightmail.errors import ConfigInvalid
from nightmail.routing.source import NAMES, Entry, Source

FAULTS_LIMIT = 100
"""With more bad entries than this, it is the whole that is wrong."""

Items = Mapping[str, Item]
_Result = TypeVar("_Result")


class Selected(NamedTuple, Generic[_Result]):
    """What came into force: the result of bringing it there, the entries, and why others did not, by their names."""

    result: _Result
    items: Items
    faults: Mapping[str, ConfigInvalid]


class DirectoryTables:
    """What entries say, as tables that are sorted by their keys; a `Source`. Of equal keys the first given is first.

    Raises:
        ConfigInvalid: an entry is none.
    """

    def __init__(self, items: Iterable[Item], suffix: str, tables: Sequence[str] = NAMES) -> None:
        """Take of what the entries say what belongs into these `tables`."""
        self._suffix = suffix
        self._lines: dict[str, list[Entry]] = {name: [] for name in NAMES}
        items = [*items]
        by_name = {folded_name(item.dn): item for item in items}
        for item in items:
            for line in lines_of(with_members(item, by_name)):
                if line.table in tables:
                    self._lines[line.table].append(line.entry)
        for entries in self._lines.values():
            entries.sort(key=lambda entry: entry.key.lower())

    def entries(self, name: str) -> Iterator[Entry]:
        """The entries of the table `name`, sorted."""
        return iter(self._lines[name])

    def place(self, name: str) -> str:
        """The container that holds what the table `name` would."""
        return f"{CONTAINERS[name]},{self._suffix}"

    def digest(self) -> str:
        """A digest of what the lines say, wherever they stand."""
        digest = hashlib.blake2b(digest_size=16)
        for name in NAMES:
            for _, key, value in self._lines[name]:
                digest.update(f"{name}\0{key}\0{value}\0".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def size_bytes(self) -> int:
        """About how much text it is."""
        return sum(len(entry.key) + len(entry.value) + 3 for entries in self._lines.values() for entry in entries)


def select(
    offered: Items,
    in_force: Items,
    suffix: str,
    bring_into_force: Callable[[Source], _Result],
    tables: Sequence[str] = NAMES,
) -> Selected[_Result]:
    """Bring the entries `offered` into force, as many as are good. Names of entries are the keys of both.

    `bring_into_force` raises ConfigInvalid with the name of the first entry that it refuses. Where an entry is bad that
    has not changed, what others lack is at fault: then all that was taken away is kept for the time being.

    Raises:
        ConfigInvalid: too much is wrong, or something that no entry can be blamed for. What was in force stays so.
    """
    chosen, faults = dict(offered), dict[str, ConfigInvalid]()
    while True:
        try:
            # What was there first keeps its key, whatever comes to claim it as well.
            ordered = sorted(chosen.values(), key=lambda item: (in_force.get(item.dn) != item, item.dn))
            return Selected(bring_into_force(DirectoryTables(ordered, suffix, tables)), chosen, faults)
        except ConfigInvalid as fault:
            _settle(fault, chosen, in_force)
            faults[fault.place] = fault
            if len(faults) > FAULTS_LIMIT:
                wrong = f"more than {FAULTS_LIMIT} entries are wrong, the first: {next(iter(faults.values()))}"
                raise ConfigInvalid(suffix, wrong, "mend them; what was in force stays so") from fault


def _settle(fault: ConfigInvalid, chosen: dict[str, Item], in_force: Items) -> None:
    """Choose something else in place of a bad entry, or go without it."""
    name = fault.place
    bad = chosen.get(name)
    if bad is None:
        raise fault
    last_good = in_force.get(name)
    if last_good is None:
        del chosen[name]
    elif last_good != bad:
        chosen[name] = last_good
    else:
        missing = in_force.keys() - chosen.keys()
        if not missing:
            raise fault
        chosen.update({each: in_force[each] for each in missing})
