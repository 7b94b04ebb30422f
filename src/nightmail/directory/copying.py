"""Everything that a replica has, as text with which another one can begin (`slapd.load`)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from nightmail.directory.ldif import ldif_of
from nightmail.directory.sessions import Access, joined
from nightmail.directory.tree import Item
from nightmail.directory.writing import Directory
from nightmail.errors import DirectoryUnavailable

_Taken = TypeVar("_Taken")

_MADE_UP = {"entrydn", "subschemasubentry", "hassubordinates", "numsubordinates"}


def copy_of(uri: str, suffix: str, access: Access) -> Iterator[str]:
    """All entries of a replica, each as text, with what another one needs to go on from there.

    `access` has to be that of the account which sees everything, passwords included.

    Raises:
        DirectoryUnavailable: it does not answer, or has not all of them.
    """
    with Directory(uri, access) as directory:
        if not any(item.attributes for item in directory.search(suffix, attributes=["contextCSN"])):
            raise DirectoryUnavailable(f"{uri}: it has no content yet")
        for item in directory.search(suffix, attributes=["*", "+"]):
            yield ldif_of([_without_made_up(item)])


def first_that_gives(uris: Iterable[str], take: Callable[[str], _Taken]) -> tuple[str, _Taken]:
    """The first replica from which something can be taken, and what was.

    Raises:
        DirectoryUnavailable: none gives it; the reasons of all.
    """
    errors = []
    for uri in uris:
        try:
            return uri, take(uri)
        except DirectoryUnavailable as error:
            errors.append(error)
    raise joined(errors or [DirectoryUnavailable("there is no other replica")])


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
