"""What a directory has, as far as somebody asks: held in memory, searched for, or as it will be after changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from typing import Protocol

from nightmail.directory.known import filter_of, keys_of
from nightmail.directory.names import any_of, equals
from nightmail.directory.parts import Part, part_with
from nightmail.directory.tree import WHOLE_FILTER, Item, folded, folded_name, is_held_whole
from nightmail.directory.writing import Directory

_KEYS_PER_SEARCH = 50
_TARGETS = ("rfc822MailMember", "mailRoutingAddress", "nmTarget")


class Contents(Protocol):
    """Entries with their attributes' names in lower case. Each call may raise DirectoryUnavailable."""

    def whole(self) -> list[Item]:
        """Those that servers hold whole."""
        ...

    def about(self, keys: Collection[str]) -> list[Item]:
        """Those that say something of one of these addresses, and maybe others."""
        ...

    def named(self, names: Iterable[str]) -> dict[str, Item]:
        """Those of these names that are there, by their names in folded form."""
        ...

    def leading_to(self, keys: Collection[str], names: Collection[str]) -> list[Item]:
        """Those that send mail on to one of these addresses, or have an entry of one of these names as a member.

        `@domain` is any address there; then there may be others among them.
        """
        ...


class Held:
    """All of it in memory."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = {folded_name(item.dn): item for item in items}
        self._by_key: dict[str, list[Item]] = {}
        for item in self._items.values():
            for key in keys_of(item):
                self._by_key.setdefault(key, []).append(item)

    def whole(self) -> list[Item]:
        """Those that servers hold whole."""
        return [item for item in self._items.values() if is_held_whole(item)]

    def about(self, keys: Collection[str]) -> list[Item]:
        """Those that say something of one of these addresses."""
        return [item for key in keys for item in self._by_key.get(key, ())]

    def named(self, names: Iterable[str]) -> dict[str, Item]:
        """Those of these names that are there, by their names in folded form."""
        wanted = map(folded_name, names)
        return {name: self._items[name] for name in wanted if name in self._items}

    def leading_to(self, keys: Collection[str], names: Collection[str]) -> list[Item]:
        """Those that send mail on to one of these addresses, or have an entry of one of these names as a member."""
        wanted, members = {*keys}, {*map(folded_name, names)}
        domains = tuple(key for key in wanted if key.startswith("@"))
        return [item for item in self._items.values() if _leads_to(item, wanted, domains, members)]


class Asked:
    """Searched for at a replica."""

    def __init__(self, directory: Directory, suffix: str) -> None:
        self._directory = directory
        self._suffix = suffix
        self._whole: list[Item] | None = None

    def whole(self) -> list[Item]:
        """Those that servers hold whole, as they are when they are first asked for: it takes a look at every entry."""
        if self._whole is None:
            self._whole = [*map(folded, self._directory.search(self._suffix, WHOLE_FILTER))]
        return self._whole

    def about(self, keys: Collection[str]) -> list[Item]:
        """Those that say something of one of these addresses."""
        left, found = iter(keys), dict[str, Item]()
        while batch := [*islice(left, _KEYS_PER_SEARCH)]:
            found.update((item.dn, folded(item)) for item in self._directory.search(self._suffix, filter_of(batch)))
        return [*found.values()]

    def named(self, names: Iterable[str]) -> dict[str, Item]:
        """Those of these names that are there, by their names in folded form."""
        found = {}
        for name in names:
            wanted = folded_name(name)
            for item in self._directory.search(name):
                if folded_name(item.dn) == wanted:
                    found[wanted] = folded(item)
        return found

    def leading_to(self, keys: Collection[str], names: Collection[str]) -> list[Item]:
        """Those that send mail on to one of these addresses, or have an entry of one of these names as a member."""
        filters = (*map(_sent_on_to, keys), *(equals("member", name) for name in names))
        left, found = iter(filters), dict[str, Item]()
        while batch := [*islice(left, _KEYS_PER_SEARCH)]:
            found.update((item.dn, folded(item)) for item in self._directory.search(self._suffix, any_of(*batch)))
        return [*found.values()]


class AskedApart:
    """Searched for at several replicas, each for parts of which it knows most; the first one also for all the rest."""

    def __init__(self, suffix: str, replicas: Mapping[Part, Directory]) -> None:
        first, *_ = replicas.values()
        self._rest = Asked(first, suffix)
        self._parts = {part: Asked(replica, part.base) for part, replica in replicas.items() if replica is not first}

    def whole(self) -> list[Item]:
        """Those that servers hold whole."""
        return self._joined(Asked.whole)

    def about(self, keys: Collection[str]) -> list[Item]:
        """Those that say something of one of these addresses."""
        return self._joined(lambda asked: asked.about(keys))

    def named(self, names: Iterable[str]) -> dict[str, Item]:
        """Those of these names that are there, by their names in folded form."""
        found = {}
        for name in names:
            part = part_with(self._parts, name)
            found.update((self._rest if part is None else self._parts[part]).named([name]))
        return found

    def leading_to(self, keys: Collection[str], names: Collection[str]) -> list[Item]:
        """Those that send mail on to one of these addresses, or have an entry of one of these names as a member."""
        return self._joined(lambda asked: asked.leading_to(keys, names))

    def _joined(self, ask: Callable[[Asked], list[Item]]) -> list[Item]:
        rest = [item for item in ask(self._rest) if part_with(self._parts, item.dn) is None]
        return [*rest, *(item for asked in self._parts.values() for item in ask(asked))]


class Amended:
    """What others have, but for some entries: as they will be, or None for those that will be no more."""

    def __init__(self, before: Contents, amended: Mapping[str, Item | None]) -> None:
        """`amended` are by their names in folded form."""
        self._before = before
        self._gone = amended.keys()
        self._new = Held(item for item in amended.values() if item is not None)

    def whole(self) -> list[Item]:
        """Those that servers hold whole."""
        return [*self._staying(self._before.whole()), *self._new.whole()]

    def about(self, keys: Collection[str]) -> list[Item]:
        """Those that say something of one of these addresses."""
        return [*self._staying(self._before.about(keys)), *self._new.about(keys)]

    def named(self, names: Iterable[str]) -> dict[str, Item]:
        """Those of these names that are there, by their names in folded form."""
        names = [*names]
        left = [name for name in names if folded_name(name) not in self._gone]
        return self._before.named(left) | self._new.named(names)

    def leading_to(self, keys: Collection[str], names: Collection[str]) -> list[Item]:
        """Those that send mail on to one of these addresses, or have an entry of one of these names as a member."""
        return [*self._staying(self._before.leading_to(keys, names)), *self._new.leading_to(keys, names)]

    def _staying(self, items: Iterable[Item]) -> list[Item]:
        return [item for item in items if folded_name(item.dn) not in self._gone]


def _leads_to(item: Item, keys: Collection[str], domains: tuple[str, ...], members: Collection[str]) -> bool:
    targets = [target.lower() for target in item.values(*_TARGETS)]
    is_sent_on = any(target in keys or target.endswith(domains) for target in targets)
    return is_sent_on or any(folded_name(name) in members for name in item.values("member"))


def _sent_on_to(key: str) -> str:
    """The filter for entries that send mail on to an address, or for `@domain` to any: no part of one can be asked for.

    Of what is not indexed, nmTarget, only lists that may have it are looked through.
    """
    asked = {
        name: f"({name}=*)" if key.startswith("@") else equals(name, key)
        for name in _TARGETS
        if key.isascii() or name == "nmTarget"
    }
    asked["nmTarget"] = f"(&(objectClass=nmMailList){asked['nmTarget']})"
    return any_of(*asked.values())
