"""What tables say, and what has to be written for a directory to say it: shown, or carried out."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable

from nightmail.cli.directory_changes import some_of, telling_what_was_written
from nightmail.cli.directory_sessions import Masters
from nightmail.cli.failing import GivenWrong, complain, given
from nightmail.cli.screen import print_json
from nightmail.cli.words import count
from nightmail.directory.exchange import Changes, Lines, containers_for, normal_lines, plan_changes
from nightmail.directory.parts import Part, part_with
from nightmail.directory.tree import Item, folded
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


def lines_given(tables: str, base: str) -> dict[tuple[str, str], str]:
    """The lines of the tables that a command was given; see `lines_of_tables`. Raises: GivenWrong: one is wrong."""
    if not os.path.isdir(tables):
        raise GivenWrong(
            tables, "there is no such directory", "name the one that has the files domains, routes and so on"
        )
    with given():
        return lines_of_tables(tables, base)


def entries_of(lines: Lines, base: str) -> list[Item]:
    """The entries below `base` that say what the lines do, in an order in which they may be written."""
    return plan_changes(lines, [], base, delete=False).added


def plan_for(wanted: Lines, items: Iterable[Item], part: Part, *, delete: bool) -> Changes:
    """What has to be written into a part, `items` being all that the directory has; see `plan_changes`.

    A container that is missing comes first: directories that were begun by earlier releases have none for policies.
    """
    own, others = list[Item](), list[Item]()
    for item in map(folded, items):
        (own if part_with([part], item.dn) else others).append(item)
    changes = plan_changes(wanted, own, part.base, delete=delete, elsewhere=others)
    return changes._replace(added=[*containers_for(changes.added, own, part.base), *changes.added])


def say_what_is_elsewhere(changes: Changes) -> None:
    """Say which entries of other sites' parts say what the tables do, where there are any."""
    if changes.elsewhere:
        number = count(len(changes.elsewhere), "entry", "entries")
        complain(f"said by {number} of other sites already, and not written: {some_of(changes.elsewhere)}")


def carry_out(changes: Changes, masters: Masters) -> dict[str, int]:
    """Write it; how many entries were added, changed and deleted, and how many lines are left.

    Raises:
        ConfigInvalid: the directory refuses something. It is said what was written.
        DirectoryUnavailable: no answer comes.
    """
    added = [*(item for _, item in changes.renewed), *changes.added]
    written = [item.dn for item in (*added, *changes.replaced)]
    with telling_what_was_written(masters, written, changes.deleted):
        renewed = masters.delete(name for name, _ in changes.renewed)
        return {
            "added": masters.add(added) - renewed,
            "changed": masters.replace(changes.replaced) + renewed,
            "deleted": masters.delete(changes.deleted),
            "left": changes.foreign,
            "elsewhere": len(changes.elsewhere),
        }


def show_plan(changes: Changes, *, json: bool) -> None:
    """Print which entries would be added (+), changed (~) and deleted (-)."""
    added = [item.dn for item in changes.added]
    changed = sorted([*(item.dn for item in changes.replaced), *(name for name, _ in changes.renewed)])
    if json:
        print_json({"added": added, "changed": changed, "deleted": changes.deleted, "left": changes.foreign,
                    "elsewhere": changes.elsewhere})  # fmt: skip
        return
    for sign, names in (("+", added), ("~", changed), ("-", changes.deleted)):
        sys.stdout.writelines(f"{sign} {printable(name)}\n" for name in names)
    sys.stdout.write(f"Entries to be added: {len(added):,}, changed: {len(changed):,}, "
                     f"deleted: {len(changes.deleted):,}; lines left: {changes.foreign:,}\n")  # fmt: skip
