"""Everything that a replica has, as text with which another one can begin (`slapd.load`)."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from nightmail.directory.ldif import ldif_of
from nightmail.directory.sessions import Access
from nightmail.directory.tree import Item
from nightmail.directory.writing import Directory
from nightmail.errors import DirectoryUnavailable

_MADE_UP = {"entrydn", "subschemasubentry", "hassubordinates", "numsubordinates"}


def copy_of(uris: Iterable[str], suffix: str, access: Access) -> Iterator[str]:
    """All entries of the first replica that answers, each as text, with what a replica needs to go on from there.

    `access` has to be that of the account which sees everything, passwords included.

    Raises:
        DirectoryUnavailable: none answers, or has all of them.
    """
    reason = "there is no other replica"
    for uri in uris:
        try:
            directory = Directory(uri, access)
        except DirectoryUnavailable as error:
            reason = str(error)
            continue
        with directory:
            if not any(item.attributes for item in directory.search(suffix, attributes=["contextCSN"])):
                reason = f"{uri}: it has no content yet"
                continue
            for item in directory.search(suffix, attributes=["*", "+"]):
                yield ldif_of([_without_made_up(item)])
        return
    raise DirectoryUnavailable(reason)


def until_stopped(pieces: Iterable[str], stopping: threading.Event) -> Iterator[str]:
    """The pieces, as long as nobody stops. Raises: DirectoryUnavailable: somebody does."""
    for piece in pieces:
        if stopping.is_set():
            raise DirectoryUnavailable("the server stops")
        yield piece


def _without_made_up(item: Item) -> Item:
    """An entry without what a server works out when it is asked."""
    return item._replace(
        attributes={name: values for name, values in item.attributes.items() if name.lower() not in _MADE_UP}
    )
