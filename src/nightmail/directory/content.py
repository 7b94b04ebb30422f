"""What a replica has sent of a subtree, put together message by message (content synchronisation, RFC 4533).

    refreshing   entries come, or the ids of those that are still there. What it all says is known at its end: with
                 `Presence`, what was not named is gone; otherwise only what was named as gone.
    following    every change as it happens

What was there before stays until the end of a refresh says otherwise, so that there is never half of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from nightmail.directory.tree import Item


class Changed(NamedTuple):
    """An entry as it is now, under the id that never changes."""

    uuid: str
    item: Item


class Present(NamedTuple):
    """Entries that are as they were."""

    uuids: frozenset[str]


class Gone(NamedTuple):
    """Entries that are no more."""

    uuids: frozenset[str]


class Presence(NamedTuple):
    """All that is there has been named."""


class Refreshed(NamedTuple):
    """From here on, changes come as they happen."""


class Expired(NamedTuple):
    """Any entry may be another than it was."""


Message = Changed | Present | Gone | Presence | Refreshed | Expired


class Content:
    """The entries of a subtree by their ids. `is_current` says that they are all there, and kept up to date."""

    def __init__(self, items: Mapping[str, Item]) -> None:
        """Begin with `items`, as they were known at an earlier time."""
        self.is_current = False
        self._items = dict(items)
        self._arriving: dict[str, Item] = {}
        self._named: set[str] = set()
        self._gone: set[str] = set()

    @property
    def items(self) -> Mapping[str, Item]:
        """The entries as of the last moment at which they were known to be all."""
        return self._items

    def begin(self) -> None:
        """A replica is asked anew: what it sends now is a refresh."""
        self.is_current = False
        self._arriving.clear()
        self._named.clear()
        self._gone.clear()

    def take(self, message: Message) -> bool:
        """Take what a replica sent; whether `items` changed by it."""
        if self.is_current:
            return self._follow(message)
        match message:
            case Changed(uuid, item):
                self._arriving[uuid] = item
                self._named.add(uuid)
                self._gone.discard(uuid)
            case Present(uuids):
                self._named |= uuids
            case Gone(uuids):
                self._gone |= uuids
                self._named -= uuids
                for uuid in uuids:
                    self._arriving.pop(uuid, None)
            case Presence():
                self._gone |= self._items.keys() - self._named
            case Refreshed():
                return self._end_refresh()
        return False

    def _follow(self, message: Message) -> bool:
        match message:
            case Changed(uuid, item):
                before = self._items.get(uuid)
                self._items[uuid] = item
                return before != item
            case Gone(uuids):
                known = uuids & self._items.keys()
                for uuid in known:
                    del self._items[uuid]
                return bool(known)
        return False

    def _end_refresh(self) -> bool:
        before = self._items
        kept = {uuid: item for uuid, item in before.items() if uuid not in self._gone}
        self._items = kept | self._arriving
        self.begin()
        self.is_current = True
        return self._items != before
