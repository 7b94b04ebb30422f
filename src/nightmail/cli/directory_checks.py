"""What is wrong with a directory, entry by entry."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.text import Text

from nightmail.admin.replicas import access_of, directory_of, replica_uris
from nightmail.admin.whole_content import authority
from nightmail.config.settings import Config
from nightmail.directory.contents import Held
from nightmail.directory.judging import Finding, Judge, judge_of, misread
from nightmail.directory.last_copy import COPY_NAME, read_copy
from nightmail.directory.tree import Item, folded, lines_of
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.mail.headers import printable
from nightmail.routing.source import NAMES


class Checked(msgspec.Struct, frozen=True):
    """How many entries were judged, and what is wrong with some."""

    entries: int
    findings: tuple[Finding, ...]

    @property
    def fatal(self) -> int:
        """How many entries are not in force, or can't be used."""
        return len({finding.entry for finding in self.findings if finding.is_fatal})


class Found(NamedTuple):
    """The entries of a directory and where they come from; `is_all` is False where persons and lists are not known."""

    items: list[Item]
    source: str
    is_all: bool


def check_entries(items: list[Item], suffix: str, base: str) -> Checked:
    """Judge a whole directory."""
    with judge_of(Held(items), suffix, base) as judge:
        return findings_of(judge, items)


def findings_of(judge: Judge, items: list[Item]) -> Checked:
    """What is wrong with any of the entries."""
    found = [*judge.whole.findings, *(finding for item in items for finding in judge.findings_of(item))]
    return Checked(len(items), tuple(dict.fromkeys(found)))


def show_checked(checked: Checked, console: Console) -> None:
    """Print a line for each fault."""
    for finding in checked.findings:
        mark = Text("✗ ", "bold red") if finding.is_fatal else Text("! ", "bold yellow")
        console.print(mark + Text(printable(str(finding))), soft_wrap=True)
    if not checked.findings:
        console.print(Text("✓ ", "bold green") + Text(f"{_entries(checked.entries)}, nothing is wrong"))


def found_in(config: Config) -> Found | None:
    """What the first replica has that answers, else what this server last knew of the entries that it holds whole."""
    settings = directory_of(config)
    with authority(config) as trusted:
        for uri in replica_uris(config):
            try:
                with Directory(uri, access_of(settings, "reader", trusted)) as directory:
                    return Found([*map(folded, directory.search(settings.suffix))], uri, True)
            except (DirectoryUnavailable, ConfigInvalid):
                continue
    copy = read_copy(os.path.join(settings.data_directory, COPY_NAME), settings.suffix)
    if copy is None or not copy.content:
        return None
    return Found([*copy.content.values()], "the last copy, persons and lists excepted", False)


@contextmanager
def judged(config: Config, found: Found) -> Iterator[Judge]:
    """A judge of what was found."""
    with judge_of(Held(found.items), directory_of(config).suffix, config.base) as judge:
        yield judge


def counted(items: Iterable[Item]) -> dict[str, int]:
    """How many lines of each table the entries say that can be understood."""
    numbers = dict.fromkeys(NAMES, 0)
    for item in items:
        try:
            tables = [line.table for line in lines_of(item)]
        except ConfigInvalid:
            continue
        for table in tables:
            numbers[table] += 1
    return numbers


def fault_as_comment(item: Item) -> str:
    """Why an entry can't be understood, as a comment of LDIF; empty where it can."""
    fault = misread(folded(item))
    return f"# not understood: {printable(f'{fault.wrong}; {fault.right}')}\n" if fault is not None else ""


def with_fault(item: Item) -> dict[str, object]:
    """An entry for JSON, with why it can't be understood where that is so."""
    fault = misread(folded(item))
    return {"dn": item.dn, **item.attributes, **({"fault": str(fault)} if fault is not None else {})}


def told(checked: Checked) -> str:
    """How many entries are wrong, in words; empty where none is."""
    if not checked.fatal:
        return ""
    return f"{_entries(checked.fatal)} can't come into force, or get no mail"


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number:,} entries"
