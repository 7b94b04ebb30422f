"""Everything that the directory has, read from a replica as a whole: for a backup, or for another one to begin with."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from nightmail.admin.replicas import access_of, directory_of, replica_uris, secret_of, uri_of
from nightmail.config.settings import Config
from nightmail.directory.certificates import write_authority
from nightmail.directory.ldif import ldif_of
from nightmail.directory.tree import Item
from nightmail.directory.writing import Directory
from nightmail.errors import DirectoryUnavailable
from nightmail.world import Clock

_MADE_UP = {"entrydn", "subschemasubentry", "hassubordinates", "numsubordinates"}


def other_replicas(config: Config) -> list[str]:
    """The other replicas, the first master before the rest."""
    master, own = uri_of(config, config.master), uri_of(config, config.server.name)
    return sorted((uri for uri in replica_uris(config) if uri != own), key=lambda uri: uri != master)


def everything(config: Config, uris: list[str]) -> Iterator[str]:
    """All entries of the first replica that answers, each as text, with what a replica needs to go on from there.

    Raises:
        DirectoryUnavailable: none answers, or has all of them.
    """
    settings = directory_of(config)
    with authority(config) as trusted:
        access = access_of(settings, "replicator", trusted)
        reason = "there is no other replica"
        for uri in uris:
            try:
                directory = Directory(uri, access)
            except DirectoryUnavailable as error:
                reason = str(error)
                continue
            with directory:
                if not any(item.attributes for item in directory.search(settings.suffix, attributes=["contextCSN"])):
                    reason = f"{uri}: it has no content yet"
                    continue
                for item in directory.search(settings.suffix, attributes=["*", "+"]):
                    yield ldif_of([_without_made_up(item)])
            return
    raise DirectoryUnavailable(reason)


def _without_made_up(item: Item) -> Item:
    """An entry without what a server works out when it is asked."""
    return item._replace(
        attributes={name: values for name, values in item.attributes.items() if name.lower() not in _MADE_UP}
    )


def moment(clock: Clock) -> str:
    """The time of day, as a part of a file's name."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(clock.wall()))


@contextmanager
def authority(config: Config) -> Iterator[str]:
    """A file with whom to trust, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="nightmail-directory-") as scratch:
        path = os.path.join(scratch, "authority.pem")
        write_authority(path, secret_of(directory_of(config)))
        yield path
