"""What tables say, and what has to be written for a directory to say it: shown, or carried out."""

from __future__ import annotations

import sys
import tempfile

from nightmail.admin.replicas import directory_of
from nightmail.cli.directory_changes import telling_what_was_written
from nightmail.cli.screen import print_json
from nightmail.config.settings import Config
from nightmail.directory.exchange import Changes, Lines, normal_lines, plan_changes
from nightmail.directory.tree import Item, folded
from nightmail.directory.writing import Directory
from nightmail.mail.headers import printable
from nightmail.routing.generations import check_tables
from nightmail.routing.tables import TextTables


def lines_of_tables(tables: str, base: str, kind: type[TextTables] = TextTables) -> dict[tuple[str, str], str]:
    """The lines of the tables in the directory `tables`, in their normal form, checked as a server checks them.

    `kind` says which of the files count.

    Raises:
        ConfigInvalid: one is wrong.
    """
    with tempfile.TemporaryDirectory(prefix="nightmail-import-") as scratch:
        check_tables(tables, scratch, base, kind)
    return normal_lines(kind(tables))


def entries_of(lines: Lines, suffix: str) -> list[Item]:
    """The entries that say what the lines do, in an order in which they may be written."""
    return plan_changes(lines, [], suffix, delete=False).added


def plan_for(wanted: Lines, directory: Directory, config: Config, *, delete: bool) -> Changes:
    """What has to be written; see `plan_changes`."""
    suffix = directory_of(config).suffix
    return plan_changes(wanted, map(folded, directory.search(suffix)), suffix, delete=delete)


def carry_out(changes: Changes, directory: Directory) -> dict[str, int]:
    """Write it; how many entries were added, changed and deleted, and how many lines are left.

    Raises:
        ConfigInvalid: the directory refuses something. It is said what was written.
        DirectoryUnavailable: no answer comes.
    """
    added = [*(item for _, item in changes.renewed), *changes.added]
    written = [item.dn for item in (*added, *changes.replaced)]
    with telling_what_was_written(directory, written, changes.deleted):
        renewed = directory.delete(name for name, _ in changes.renewed)
        return {
            "added": directory.add(added) - renewed,
            "changed": directory.replace(changes.replaced) + renewed,
            "deleted": directory.delete(changes.deleted),
            "left": changes.foreign,
        }


def show_plan(changes: Changes, *, json: bool) -> None:
    """Print which entries would be added (+), changed (~) and deleted (-)."""
    added = [item.dn for item in changes.added]
    changed = sorted([*(item.dn for item in changes.replaced), *(name for name, _ in changes.renewed)])
    if json:
        print_json({"added": added, "changed": changed, "deleted": changes.deleted, "left": changes.foreign})
        return
    for sign, names in (("+", added), ("~", changed), ("-", changes.deleted)):
        sys.stdout.writelines(f"{sign} {printable(name)}\n" for name in names)
    sys.stdout.write(f"Entries to be added: {len(added):,}, changed: {len(changed):,}, "
                     f"deleted: {len(changes.deleted):,}; lines left: {changes.foreign:,}\n")  # fmt: skip
