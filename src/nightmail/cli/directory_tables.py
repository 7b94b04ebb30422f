"""What tables say, for commands that have the directory say it."""

from __future__ import annotations

import tempfile

from nightmail.directory.exchange import Lines, normal_lines, plan_changes
from nightmail.directory.tree import Item
from nightmail.routing.generations import check_tables
from nightmail.routing.tables import TextTables


def lines_of_tables(tables: str, base: str) -> dict[tuple[str, str], str]:
    """The lines of the tables in the directory `tables`, in their normal form, checked as a server checks them.

    Raises:
        ConfigInvalid: one is wrong.
    """
    with tempfile.TemporaryDirectory(prefix="nightmail-import-") as scratch:
        check_tables(tables, scratch, base)
    return normal_lines(TextTables(tables))


def entries_of(lines: Lines, suffix: str) -> list[Item]:
    """The entries that say what the lines do, in an order in which they may be written."""
    return plan_changes(lines, [], suffix, delete=False).added
