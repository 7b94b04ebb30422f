"""A replica that has nothing, or something of another master, begins with what there is, at once and whole.

slapd would fill an empty one by itself, entry by entry, each synced to the disk: minutes for a hundred thousand. Loaded
as a whole they take seconds. Whatever changes meanwhile comes afterwards, as it does after any restart.

Where another server was made the master, a replica may have what that one never got. slapd takes nothing away that is
newer than all that its master has: it would stay for good, here alone.
"""

from __future__ import annotations

import os
import threading
from typing import NamedTuple

import structlog

from nightmail.admin.replicas import access_of, directory_of
from nightmail.admin.sources import sources_of
from nightmail.admin.whole_content import moment
from nightmail.config.settings import Config
from nightmail.directory.copying import copy_of, until_stopped
from nightmail.directory.held import MASTER, Held
from nightmail.directory.replica import Database, Replica
from nightmail.directory.sessions import Access
from nightmail.directory.slapd import Installation, has_entries, is_begun, is_whole, load, reseeding
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.world import Clock

log = structlog.get_logger()


def make_ready(
    config: Config, replica: Replica, installation: Installation, clock: Clock, stopping: threading.Event
) -> None:
    """Have each database of the replica, which does not run, be one that its master's may be followed with.

    An empty one stays so where no replica answers, and slapd fills it later. Blocks while entries come, and nobody is
    `stopping` it.

    Raises:
        ConfigInvalid: it is a master of what has no entries, or not all, or slapd refuses what there is.
        DirectoryUnavailable: what it has is of another master, and the one of now is out of reach.
        OSError: it can't be written.
    """
    access = access_of(directory_of(config), "replicator", replica.tls.authority)
    loading = _Loading(replica, installation, access, stopping)
    for part, database in zip(config.parts, replica.databases, strict=True):
        master, noted = config.master_of(part), Held(database.path, MASTER)
        if database.provider and not has_entries(database):
            loading.fill(database, sources_of(config, part, access))
        elif not database.provider and (not has_entries(database) or noted.read() != master):
            _see_that_there_is_what_to_send(replica, database, installation)
        elif database.provider and noted.read() not in ("", master):
            loading.begin_anew(database, f"of-{noted.read()}.{moment(clock)}")
        if noted.read() != master:
            os.makedirs(database.path, mode=0o700, exist_ok=True)
            noted.write(master)


def _see_that_there_is_what_to_send(replica: Replica, database: Database, installation: Installation) -> None:
    """Refuse a master's database without entries, or with a part of them: whoever follows it would delete the rest.

    Raises:
        ConfigInvalid: it is one.
    """
    begins, takes = "`nightmail directory init` begins it", f"{reseeding(database)} takes what another replica has"
    if not is_begun(replica, database, installation):
        raise ConfigInvalid(database.path, f"the master of {database.base} has no entries", f"{begins}, {takes}")
    if not is_whole(replica, database, installation):
        wrong = (
            f"the master of {database.base} has not all of its entries: it was ended while they came from another one"
        )
        raise ConfigInvalid(database.path, wrong, f"name one as the master that has them, or {takes}")


class _Loading(NamedTuple):
    """How a replica's databases get what others have."""

    replica: Replica
    installation: Installation
    access: Access
    stopping: threading.Event

    def fill(self, database: Database, uris: list[str]) -> None:
        """Have what the first of these replicas has that can be asked; stay empty where none can."""
        reason = "there is no other replica"
        for uri in uris:
            try:
                self._load(database, uri, "before")
            except (DirectoryUnavailable, ConfigInvalid) as error:
                reason = str(error)
            else:
                log.info("directory replica filled", part=database.base, source=uri)
                return
        log.info("directory replica not filled yet", part=database.base, reason=reason,
                 remedy="none, unless the reason names one: it fills once the master answers")  # fmt: skip

    def begin_anew(self, database: Database, aside: str) -> None:
        """Have what the master has, and nothing else; what there is gets a name with `aside` in it, and stays for good.

        Its own master may have acknowledged what no other server has: only an operator can tell, and delete it.

        Raises:
            DirectoryUnavailable: it is out of reach.
        """
        try:
            archive = self._load(database, database.provider, aside)
        except DirectoryUnavailable as error:
            wrong = f"{database.base} has another master now, and this replica can't begin with what that one has"
            raise DirectoryUnavailable(f"{wrong} ({error}): start its server") from error
        log.warning("directory replica began anew", part=database.base, source=database.provider, set_aside=archive,
                    remedy="see whether it has what the master lacks; it is kept until you delete it")  # fmt: skip

    def _load(self, database: Database, uri: str, now: str) -> str:
        pieces = until_stopped(copy_of(uri, database.base, self.access), self.stopping)
        return load(self.replica, database, self.installation, pieces, now)
