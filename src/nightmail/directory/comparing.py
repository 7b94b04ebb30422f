"""Whether a shadow has everything that its master has, entry by entry. Everything here blocks.

That a shadow has come as far as its master (contextCSN) does not prove it: a change before that may have been passed
over.
"""

from __future__ import annotations

from typing import NamedTuple

from nightmail.directory.replica import ROLE
from nightmail.directory.sessions import Access
from nightmail.directory.writing import Directory
from nightmail.errors import DirectoryUnavailable

_SUFFIX_OF = ",ou=system,"
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
    top = replica.read(suffix, ["contextCSN"])
    changes = top.attributes.get("contextCSN", ()) if top is not None else ()
    return Seen(int(role.attributes["nmEpoch"][0]), role.attributes["nmEnabled"] == ("TRUE",), max(changes, default=""))


def has_everything(master_uri: str, shadow_uri: str, access: Access) -> bool:
    """Whether each entry of the master is on the shadow as new as it is on the master, and none is there that is not.

    Entries may change meanwhile: each that differs is looked at again for some moments. Raises: DirectoryUnavailable.
    """
    suffix = access.name.partition(_SUFFIX_OF)[2]
    with Directory(master_uri, access) as master, Directory(shadow_uri, access) as shadow:
        wanted, found = changes_of(master, suffix), changes_of(shadow, suffix)
        apart = [name for name in wanted.keys() | found.keys() if wanted.get(name, "") != found.get(name, "")]
        if len(apart) > _MOST_APART:
            return False
        for _ in range(_LOOKS):
            apart = [name for name in apart if not _is_alike(name, master, shadow)]
            if not apart:
                return True
        return False


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
