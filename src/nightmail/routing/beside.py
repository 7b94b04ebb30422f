"""Tables beside a directory that has only people and lists: each table comes from one of the two, and from no other."""

from __future__ import annotations

import os
from collections.abc import Iterator

from nightmail.errors import ConfigInvalid
from nightmail.routing.source import Entry
from nightmail.routing.tables import TextTables

LOOKED_UP = ("mailboxes", "aliases")
"""The tables whose place the directory takes."""


class TablesBeside(TextTables):
    """The tables of domains, routes, clients and policies in the files of a directory; a `Source`."""

    def entries(self, name: str) -> Iterator[Entry]:
        """The entries of the table `name` in their order; none of those that are looked up. Raises: ConfigInvalid."""
        if name not in LOOKED_UP:
            return super().entries(name)
        if os.path.exists(self.place(name)):
            wrong = f"{name} come from the directory, and from there alone"
            raise ConfigInvalid(self.place(name), wrong, "take the file away, or [directory] out of the configuration")
        return iter(())
