"""A replica that never had anything begins with what the master has, at once and whole.

slapd would fill it by itself, entry by entry, each synced to the disk: minutes for a hundred thousand. Loaded as
a whole they take seconds. Whatever changes meanwhile comes afterwards, as it does after any restart.
"""

from __future__ import annotations

import threading

import structlog

from nightmail.admin.replicas import access_of, directory_of
from nightmail.config.settings import Config
from nightmail.directory.copying import copy_of, until_stopped
from nightmail.directory.replica import Replica
from nightmail.directory.slapd import Installation, has_entries, load
from nightmail.errors import ConfigInvalid, DirectoryUnavailable

log = structlog.get_logger()


def fill_if_empty(config: Config, replica: Replica, installation: Installation, stopping: threading.Event) -> None:
    """Load the replica of a master, which does not run, with what that has, if it has nothing yet.

    Where the master does not answer it stays empty, and slapd fills it later. Blocks while entries come, and nobody is
    `stopping` it.
    """
    if not replica.provider or has_entries(replica):
        return
    settings = directory_of(config)
    access = access_of(settings, "replicator", replica.tls.authority)
    try:
        pieces = until_stopped(copy_of([replica.provider], settings.suffix, access), stopping)
        load(replica, installation, pieces, "before")
    except (DirectoryUnavailable, ConfigInvalid) as error:
        log.info("directory replica not filled yet", reason=str(error), remedy="none: it fills once the master answers")
    else:
        log.info("directory replica filled", source=replica.provider)
