"""Everything that the directory has, read as a whole: for a backup, for another one to begin with, or to be judged."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

from nightmail.admin.external import is_external, schema_of
from nightmail.admin.replicas import access_of, directory_of, replica_uris, secret_of
from nightmail.config.settings import Config
from nightmail.directory.certificates import write_authority
from nightmail.directory.copying import copy_of, first_that_gives
from nightmail.directory.external import PagedDirectory
from nightmail.directory.parts import Part
from nightmail.directory.schemas import OWN
from nightmail.directory.sessions import Access
from nightmail.directory.settings import DirectorySettings
from nightmail.directory.tree import RULES_FILTER, Item, folded
from nightmail.directory.writing import Directory
from nightmail.world import Clock


class Said(NamedTuple):
    """Entries in the words of our own schema; `mapped` are those that were written in others."""

    own: list[Item]
    mapped: list[Item]


def session_at(uri: str, settings: DirectorySettings, access: Access) -> Directory:
    """A session for reading. Raises: DirectoryUnavailable."""
    return (PagedDirectory if is_external(settings) else Directory)(uri, access)


def said_by(directory: Directory, settings: DirectorySettings) -> Said:
    """All that the directory says."""
    schema = schema_of(settings)
    if schema is OWN:
        return Said([*map(folded, directory.search(settings.suffix))], [])
    rules = map(folded, directory.search(settings.suffix, RULES_FILTER))
    mapped = (schema.read(folded(item)) for item in directory.search(settings.suffix, schema.mail_filter))
    return Said([*rules], [*mapped])


def everything(config: Config) -> Iterator[str]:
    """All entries of all parts, of each those of the first replica that answers; see `copy_of`.

    Raises:
        DirectoryUnavailable: none does.
    """
    with authority(config) as trusted:
        access = access_of(directory_of(config), "replicator", trusted)
        for part in config.parts:
            _, pieces = first_that_gives(replica_uris(config), partial(_begun_copy, part, access))
            yield from pieces


def _begun_copy(part: Part, access: Access, uri: str) -> Iterator[str]:
    """A copy that has its first entry already: this replica gives it. Raises: DirectoryUnavailable."""
    pieces = copy_of(uri, part.base, access)
    return chain([*islice(pieces, 1)], pieces)


def moment(clock: Clock) -> str:
    """The time of day, as a part of a file's name."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(clock.wall()))


@contextmanager
def authority(config: Config) -> Iterator[str]:
    """A file with whom to trust, for as long as it is needed; none for a directory that is not ours."""
    if is_external(directory_of(config)):
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="nightmail-directory-") as scratch:
        path = os.path.join(scratch, "authority.pem")
        write_authority(path, secret_of(directory_of(config)))
        yield path
