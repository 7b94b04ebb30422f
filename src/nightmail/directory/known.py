"""What is known of single addresses: looked up once, kept within a bound, and let go of when the directory changes.

An address has at most one answer here, "nobody has it" being one. The entries that gave it are remembered by their ids,
so that a change of one of them, or a new one with the same address, undoes it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from nightmail.directory.names import any_of, equals
from nightmail.directory.tree import Item, addresses_of_list, folded_name, lines_of, with_members
from nightmail.errors import ConfigInvalid
from nightmail.routing.entries import parse_alias_key, parse_targets
from nightmail.routing.expansion import MAX_RECIPIENTS
from nightmail.routing.route import Route, parse_route

_ATTRIBUTES = ("mailLocalAddress", "mail", "nmAddress", "cn")
_UNICODE_ATTRIBUTES = ("nmAddress", "cn")
_ID = "entryuuid"
_TEXT_BYTES = 150  # of an address or an id, with its place in the index
_RECORD_BYTES = 700  # of a record with short strings, its key and its place in the index


class Known(msgspec.Struct, frozen=True, gc=False):
    """What the directory says of one key. `fault` says that an entry is wrong: then nothing else counts."""

    is_mailbox: bool = False
    targets: tuple[str, ...] | None = None
    route: Route | None = None
    ids: tuple[str, ...] = ()
    fault: str = ""

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        return _RECORD_BYTES + _TEXT_BYTES * (len(self.targets or ()) + len(self.ids)) + len(self.fault)


def filter_of(keys: Iterable[str]) -> str:
    """The filter for every entry that says something of one of these keys."""
    return any_of(
        *(
            equals(attribute, key)
            for key in keys
            for attribute in (_ATTRIBUTES if key.isascii() else _UNICODE_ATTRIBUTES)
        )
    )


def keys_of(item: Item) -> list[str]:
    """The keys of which an entry says something; those that are none are left out."""
    try:
        texts = [line.entry.key for line in lines_of(item) if line.table in {"mailboxes", "aliases"}]
    except ConfigInvalid:
        return []
    keys = []
    for text in texts or addresses_of_list(item):
        try:
            keys.append(parse_alias_key(text, item.dn))
        except ConfigInvalid:
            continue
    return keys


def members_named(items: Iterable[Item]) -> list[str]:
    """The names of entries that lists name as their members: they have to be read, too."""
    lists = (item for item in items if addresses_of_list(item) and not _has_too_many(item))
    return sorted({name for item in lists for name in item.values("member")})


def _has_too_many(item: Item) -> bool:
    return len(item.values("member")) > MAX_RECIPIENTS


def answers_of(
    keys: Collection[str], items: Iterable[Item], base: str, members: Iterable[Item] = ()
) -> dict[str, Known]:
    """What the entries that were found say of each of the keys; of several that say the same, the first one counts.

    `members` are the entries that lists among them name as their members.
    """
    answers = {key: Known() for key in keys}
    by_name = {folded_name(member.dn): member for member in members}
    for item in sorted(items, key=lambda item: item.dn):
        ids = [item.value(_ID)]
        if addresses_of_list(item):
            # By their names also those that are not there: they may come.
            names = [folded_name(name) for name in item.values("member")]
            ids += [*names, *(by_name[name].value(_ID) for name in names if name in by_name)]
            item = with_members(item, by_name)  # noqa: PLW2901 - the same entry, completed
        for key in set(keys_of(item)) & answers.keys():
            answers[key] = _with(answers[key], key, item, base, ids)
    return answers


def _with(known: Known, key: str, item: Item, base: str, further: Iterable[str]) -> Known:
    ids = (*known.ids, *further)
    is_mailbox, targets, route = known.is_mailbox, known.targets, known.route
    if addresses_of_list(item) and _has_too_many(item):
        return Known(ids=ids, fault=f"{item.dn}: the list has more than {MAX_RECIPIENTS:,} members; divide it")
    if addresses_of_list(item) and not lines_of(item):
        return Known(is_mailbox, () if targets is None else targets, route, ids, known.fault)
    try:
        for table, (place, text, value) in lines_of(item):
            if parse_alias_key(text, place) != key:
                continue
            if table == "mailboxes":
                is_mailbox = True
            elif table == "aliases" and targets is None:
                targets = parse_targets(value, place)
            elif table == "routes" and route is None:
                route = parse_route(value, place, base)
    except ConfigInvalid as fault:
        return Known(ids=ids, fault=str(fault))
    return Known(is_mailbox, targets, route, ids, known.fault)


class _Generation:
    def __init__(self) -> None:
        self.answers: dict[str, Known] = {}
        self.keys_by_id: dict[str, list[str]] = {}
        self.size_bytes = 0

    def put(self, key: str, known: Known) -> None:
        self.answers[key] = known
        self.size_bytes += known.size_bytes
        for each in known.ids:
            self.keys_by_id.setdefault(each, []).append(key)

    def drop(self, ids: Iterable[str], keys: Iterable[str]) -> None:
        for each in ids:
            for key in self.keys_by_id.pop(each, ()):
                self.answers.pop(key, None)
        for key in keys:
            self.answers.pop(key, None)


class Cache:
    """Answers, up to `limit_bytes` of them: those that were used since half as many came in are kept."""

    def __init__(self, limit_bytes: int) -> None:
        self._half_bytes = limit_bytes // 2
        self._young = _Generation()
        self._old = _Generation()

    def __len__(self) -> int:
        return len(self._young.answers) + len(self._old.answers)

    def get(self, key: str) -> Known | None:
        """The answer, if it is known."""
        known = self._young.answers.get(key)
        if known is None:
            known = self._old.answers.get(key)
            if known is not None:
                del self._old.answers[key]
                self.put(key, known)
        return known

    def put(self, key: str, known: Known) -> None:
        """Keep an answer."""
        if self._young.size_bytes >= self._half_bytes:
            self._old, self._young = self._young, _Generation()
        self._young.put(key, known)

    def drop(self, ids: Collection[str], keys: Collection[str] = ()) -> None:
        """Entries of these ids have changed, or entries with these keys have come."""
        self._young.drop(ids, keys)
        self._old.drop(ids, keys)

    def clear(self) -> None:
        """Let go of everything."""
        self._young, self._old = _Generation(), _Generation()
