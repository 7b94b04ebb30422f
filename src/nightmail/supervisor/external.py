"""What one server has to do with a directory that is not ours: routing comes from there, or from tables beside it."""

from __future__ import annotations

import os
from functools import partial

import msgspec

from nightmail.admin.answers import DirectoryPicture
from nightmail.admin.external import external_access
from nightmail.admin.replicas import directory_of
from nightmail.config.settings import Config
from nightmail.directory.external import ExternalFeed
from nightmail.directory.last_copy import COPY_NAME
from nightmail.directory.tree import RULES_FILTER, WHOLE_FILTER
from nightmail.errors import ConfigInvalid
from nightmail.routing.beside import TablesBeside
from nightmail.routing.table_files import TableFiles
from nightmail.supervisor.following import DirectoryReloads
from nightmail.supervisor.tables import Announce, Reloads, TableReloads
from nightmail.world import Clock


class ExternalDirectory:
    """The parts of the directory that `config`'s server needs. `owned` are the directories that it keeps files in."""

    def __init__(self, config: Config, compiled: str, clock: Clock) -> None:
        """`compiled` is the directory for compiled tables.

        Raises:
            ConfigInvalid: nobody could get in so.
        """
        self._config = config
        self._settings = directory_of(config)
        self._access = external_access(self._settings)
        self._compiled = compiled
        self._clock = clock
        self.owned = (self._settings.data_directory,) if self._settings.data_directory else ()
        self._reloads: DirectoryReloads | None = None

    def keep_routing(self, announce: Announce) -> Reloads:
        """Have routing be as the directory has it, or as the tables do; addresses are looked up by each switch."""
        if self._config.has_tables:
            tables = TableFiles(self._config.tables.directory, self._compiled, self._config.base, TablesBeside)
            return TableReloads(tables, announce, self._clock)
        uris = self._settings.uris
        self._reloads = DirectoryReloads(
            self._settings.suffix,
            uris,
            lambda _: uris[0],
            self._access,
            announce,
            compiled=self._compiled,
            copy_path=os.path.join(self._settings.data_directory, COPY_NAME),
            base=self._config.base,
            lag_limit_s=None,  # most can't say how far they are, and an account that is refused is not to be locked
            filter_text=WHOLE_FILTER if self._settings.schema == "nightmail" else RULES_FILTER,
            make_feed=partial(ExternalFeed, poll_interval_s=self._settings.poll_interval_s),
            is_ours=False,
        )
        return self._reloads

    async def run(self) -> None:
        """Nothing: the directory runs elsewhere."""

    async def promote(self, is_forced: bool) -> bool:
        """Raises: ConfigInvalid: always, since whoever runs the directory says who takes writes."""
        wrong = "nightmail does not run this directory, and does not say who takes writes"
        raise ConfigInvalid(f"{self._config.path}: [directory]", wrong, "its own tools do")

    def picture(self) -> DirectoryPicture:
        """How it stands."""
        picture = DirectoryPicture(suffix=self._settings.suffix, role="external")
        if self._reloads is None:
            return msgspec.structs.replace(picture, followed=self._config.tables.directory, is_known=True)
        reloads = self._reloads
        return msgspec.structs.replace(
            picture,
            followed=reloads.source_of(self._config.parts[0]),
            is_known=not reloads.waits_for,
            entries=reloads.entries,
            refused=len(reloads.faults),
        )
