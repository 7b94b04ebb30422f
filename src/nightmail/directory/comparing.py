"""Whether a shadow has everything that its master has, entry by entry. Everything here blocks.

That a shadow has come as far as its master (contextCSN) does not prove it: a change before that may have been passed
over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from nightmail.directory.accounts import suffix_of
from nightmail.directory.replica import ROLE
from nightmail.directory.sessions import Access
from nightmail.directory.writing import Directory
from nightmail.errors import DirectoryUnavailable

_MOST_APART = 5_000
_LOOKS = 50


class Seen(NamedTuple):
    """A gated replica as it was seen: the epoch it is in, whether it takes writes, its newest change (contextCSN)."""

    epoch: int
    is_open: bool
    newest: str


def see(replica: Directory, suffix: str) -> Seen:
    """What a replica is at present. Raises: DirectoryUnavailable: it does not say."""
    role = replica.read(ROLE)
    if role is None:
        raise DirectoryUnavailable("it was not told its role yet")
    newest = max(levels_of(replica, suffix).values(), default="")
    return Seen(int(role.attributes["nmEpoch"][0]), role.attributes["nmEnabled"] == ("TRUE",), newest)


def has_everything(master_uri: str, shadow_uri: str, access: Access) -> bool:
    """Whether each entry of the master is on the shadow as new as it is on the master, and none is there that is not.

    Entries may change meanwhile: each that differs is looked at again for some moments. Raises: DirectoryUnavailable.
    """
    suffix = suffix_of(access.name)
    with Directory(master_uri, access) as master, Directory(shadow_uri, access) as shadow:
        if not has_come_to(levels_of(master, suffix), shadow, suffix):
            return False
        wanted, found = changes_of(master, suffix), changes_of(shadow, suffix)
        apart = [name for name in wanted.keys() | found.keys() if wanted.get(name, "") != found.get(name, "")]
        if len(apart) > _MOST_APART:
            return False
        for _ in range(_LOOKS):
            apart = [name for name in apart if not _is_alike(name, master, shadow)]
            if not apart:
                return True
        return False


def levels_of(replica: Directory, suffix: str) -> dict[str, str]:
    """How far a replica has come (contextCSN): the number of the last change of each server that it took."""
    top = replica.read(suffix, ["contextCSN"])
    changes = top.attributes.get("contextCSN", ()) if top is not None else ()
    return {_server_of(change): change for change in changes}


def has_come_to(levels: Mapping[str, str], replica: Directory, suffix: str) -> bool:
    """Whether a replica has come as far as another one had.

    That an entry is not there proves only then that it was deleted, and is not on its way: changes come in order.
    """
    own = levels_of(replica, suffix)
    return all(own.get(server, "") >= change for server, change in levels.items())


def _server_of(change: str) -> str:
    """Who made a change, by its number: `<time>#<count>#<server>#<mod>`."""
    return change.split("#")[2]


def changes_of(replica: Directory, suffix: str) -> dict[str, str]:
    """The number of the last change of every entry."""
    return {
        item.dn: next(iter(item.attributes.get("entryCSN", ())), "")
        for item in replica.search(suffix, attributes=["entryCSN"])
    }


def _is_alike(name: str, master: Directory, shadow: Directory) -> bool:
    """The master is asked first: what the shadow has may be newer than what the master said."""
    wanted, found = _change_of(name, master), _change_of(name, shadow)
    return found >= wanted if wanted else not found


def _change_of(name: str, replica: Directory) -> str:
    item = replica.read(name, ["entryCSN"])
    return next(iter(item.attributes.get("entryCSN", ())), "") if item is not None else ""
