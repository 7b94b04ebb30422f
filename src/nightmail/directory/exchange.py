"""Tables into a directory and back (R16): what has to be written so that the entries say what the lines do.

A line is compared in its normal form: its key folded as lookups fold it, its value without what means nothing. Two
tables that give the same routing have the same normal text, and that text is what an export writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from nightmail.directory.tree import ATTRIBUTES, CONTAINERS, Item, folded_name, item_of, lines_of, unit, with_members
from nightmail.errors import ConfigInvalid
from nightmail.routing.names import parents
from nightmail.routing.notation import NOTATIONS
from nightmail.routing.source import NAMES, Source

_OURS = {name.lower() for name in ATTRIBUTES} - {"objectclass", "cn", "mail"}
_ORDER = ("routes", "domains", "mailboxes", "aliases", "clients", "policies")
"""What others need comes first, and goes last, so that nothing is refused on the way."""

_RDN_ATTRIBUTE = re.compile(r"\s*([^=\s]+)\s*=")

Lines = Mapping[tuple[str, str], str]
"""Normal values by table and normal key."""


class Changes(NamedTuple):
    """What makes a directory say what tables do: entries to add, to write in place of others, and names to delete.

    An entry can't become one of another kind: those in `renewed` are deleted by their old names, and added. `foreign`
    counts the lines that only the directory has, where they were to be left alone. `elsewhere` are the names of
    entries that say what is wanted and are not among those that are changed.
    """

    added: list[Item]
    replaced: list[Item]
    renewed: list[tuple[str, Item]]
    deleted: list[str]
    foreign: int
    elsewhere: list[str]


def normal_lines(source: Source) -> dict[tuple[str, str], str]:
    """All that a source says, in its normal form; what it says twice, and alike, once.

    Raises:
        ConfigInvalid: a line can't be understood, or contradicts another one.
    """
    lines: dict[tuple[str, str], str] = {}
    places: dict[tuple[str, str], str] = {}
    for table in NAMES:
        for entry in source.entries(table):
            key, value = NOTATIONS[table].normal(entry)
            first = lines.setdefault((table, key), value)
            place = places.setdefault((table, key), entry.place)
            if first != value:
                wrong = f"it says {value!r} of {key} in {table}, and {place} says {first!r}"
                raise ConfigInvalid(entry.place, wrong, "take it from one of the two")
    _verify_where_mailboxes_are_listed(lines)
    return lines


def _verify_where_mailboxes_are_listed(lines: dict[tuple[str, str], str]) -> None:
    """Say of each relay domain with mailboxes that they count: where each is looked up, nobody sees whether any is."""
    for domain in {key.rpartition("@")[2] for table, key in lines if table == "mailboxes"}:
        nearest = next((each for each in (domain, *parents(domain)) if ("domains", each) in lines), "")
        if nearest and lines["domains", nearest] == "relay":
            lines["domains", domain] = "relay verify"


def text_of(table: str, lines: Lines) -> str:
    """The normal text of one table: sorted, the values in a column."""
    entries = sorted((key, value) for (name, key), value in lines.items() if name == table)
    width = max((len(key) for key, value in entries if value), default=0)
    return "".join(f"{key:{width}}  {value}\n" if value else f"{key}\n" for key, value in entries)


def plan_changes(
    wanted: Lines, items: Iterable[Item], base: str, *, delete: bool, elsewhere: Iterable[Item] = ()
) -> Changes:
    """What to write below `base` so that a directory with these `items` there says what is `wanted`.

    What it has `elsewhere` is left alone, and says what it says. An entry that says more than one line is somebody's
    work, and is not touched. With `delete`, what only the directory says is taken away.

    Raises:
        ConfigInvalid: an entry contradicts what is wanted, and is elsewhere or can't be changed line by line; names it.
    """
    items, elsewhere = [*items], [*elsewhere]
    by_name = {folded_name(item.dn): item for item in (*items, *elsewhere)}
    there, places = _said_elsewhere(wanted, elsewhere, by_name)
    replaced, renewed = list[Item](), list[tuple[str, Item]]()
    deleted, foreign = list[tuple[int, str]](), 0
    for item, said in _said(items, by_name):
        there.update(said)
        others = [line for line in said if line not in wanted]
        differing = [line for line in said if line in wanted and wanted[line] != said[line]]
        if differing:
            _check_alone(item, said, differing[0], wanted)
            new = item_of(*differing[0], wanted[differing[0]], base)
            replacement = _replacement(item, new)
            if replacement is not None:
                replaced.append(replacement)
            else:
                renewed.append((item.dn, new))
        elif others and delete and len(others) == len(said):
            deleted.append((-_rank(others[0]), item.dn))
        elif others and delete:
            table, key = others[0]
            raise ConfigInvalid(item.dn, f"it says {key} in {table}, and more", "change it by hand")
        else:
            foreign += len(others)
    missing = sorted((line for line in wanted if line not in there), key=_rank)
    added = [item_of(table, key, wanted[table, key], base) for table, key in missing]
    return Changes(added, replaced, renewed, [name for _, name in sorted(deleted)], foreign, places)


def containers_for(items: Iterable[Item], present: Iterable[Item], base: str) -> list[Item]:
    """The tables' containers below `base` that these items need and that are not `present`."""
    needed = {folded_name(item.dn).partition(",")[2] for item in items}
    there = {folded_name(item.dn) for item in present}
    units = (unit(name, base) for name in CONTAINERS.values())
    return [each for each in units if folded_name(each.dn) in needed - there]


def _rank(line: tuple[str, str]) -> int:
    return _ORDER.index(line[0])


def _said_elsewhere(
    wanted: Lines, items: Iterable[Item], by_name: Mapping[str, Item]
) -> tuple[dict[tuple[str, str], str], list[str]]:
    """What these entries say, and which of them say what is wanted.

    Raises:
        ConfigInvalid: one contradicts it.
    """
    there, places = dict[tuple[str, str], str](), list[str]()
    for item, said in _said(items, by_name):
        for (table, key), value in said.items():
            if wanted.get((table, key), value) != value:
                wrong = f"it says {value!r} of {key} in {table}, where {wanted[table, key]!r} is wanted"
                right = "it is another site's, and changed there; take the line out, or the entry"
                raise ConfigInvalid(item.dn, wrong, right)
        there.update(said)
        if wanted.keys() & said.keys():
            places.append(item.dn)
    return there, places


def _said(items: Iterable[Item], by_name: Mapping[str, Item]) -> Iterator[tuple[Item, dict[tuple[str, str], str]]]:
    """Each entry that says something, with what it says; one that can't be understood says nothing that is wanted."""
    for item in items:
        try:
            item = with_members(item, by_name)  # noqa: PLW2901 - the same entry, completed
            normal = [(table, *NOTATIONS[table].normal(entry)) for table, entry in lines_of(item)]
        except ConfigInvalid:
            continue
        if normal:
            yield item, {(table, key): value for table, key, value in normal}


def _check_alone(item: Item, said: Lines, line: tuple[str, str], wanted: Lines) -> None:
    table, key = line
    if len(said) > 1:
        wrong = f"it says {said[line] or 'nothing'} of {key} in {table}, and more, where {wanted[line]!r} is wanted"
        raise ConfigInvalid(item.dn, wrong, "change it by hand")


def _replacement(item: Item, new: Item) -> Item | None:
    """The entry as it is to be, what it is to lose included; None where that takes an entry of another kind."""
    if _classes(item) != _classes(new):
        return None
    lost = {name: () for name in item.attributes if name in _OURS and name not in new.attributes}
    named_by = _RDN_ATTRIBUTE.match(item.dn)
    name = {named_by[1].lower(): item.values(named_by[1])} if named_by else {}
    return Item(item.dn, {**new.attributes, **lost, **name})


def _classes(item: Item) -> set[str]:
    return {name.lower() for name in item.values("objectClass")} - {"top"}
