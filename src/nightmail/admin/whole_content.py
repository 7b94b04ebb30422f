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
from nightmail.directory.copying import copy_of
from nightmail.world import Clock


def other_replicas(config: Config) -> list[str]:
    """The other replicas, the first master before the rest."""
    master, own = uri_of(config, config.master), uri_of(config, config.server.name)
    return sorted((uri for uri in replica_uris(config) if uri != own), key=lambda uri: uri != master)


def everything(config: Config, uris: list[str]) -> Iterator[str]:
    """All entries of the first replica that answers; see `copy_of`. Raises: DirectoryUnavailable: none does."""
    settings = directory_of(config)
    with authority(config) as trusted:
        yield from copy_of(uris, settings.suffix, access_of(settings, "replicator", trusted))


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
