"""What is wrong with a directory, entry by entry."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.text import Text

from nightmail.admin.external import is_external, look_at_servers
from nightmail.admin.replicas import access_of, directory_of, replica_uris, uri_of
from nightmail.admin.rival_masters import contradictions
from nightmail.admin.whole_content import Said, authority, said_by, session_at
from nightmail.cli.directory_tables import entries_of, lines_of_tables
from nightmail.cli.words import count
from nightmail.config.settings import Config
from nightmail.directory.contents import Held
from nightmail.directory.judging import Finding, Judge, judge_of, misread
from nightmail.directory.last_copy import COPY_NAME, read_copy
from nightmail.directory.parts import part_with
from nightmail.directory.sessions import Access, OtherSecret, Outcome, open_session
from nightmail.directory.slapd import find_installation
from nightmail.directory.told_masters import CONTRADICTS
from nightmail.directory.tree import Item, addresses_of_list, folded, is_rule, lines_of
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.mail.headers import printable
from nightmail.routing.beside import TablesBeside
from nightmail.routing.source import NAMES

_ADDRESS = "mailLocalAddress"
_REMARKED = 10


class Checked(msgspec.Struct, frozen=True):
    """How many entries were judged, and what is wrong with some."""

    entries: int
    findings: tuple[Finding, ...]

    @property
    def fatal(self) -> int:
        """How many entries are not in force, or can't be used."""
        return len({finding.entry for finding in self.findings if finding.is_fatal})


class Found(NamedTuple):
    """The entries of a directory and where they come from; `is_all` is False where persons and lists are not known.

    `beside` are tables' lines, as entries, where tables say what the directory does not. `written_at` is the time of
    day at which a copy was written.
    """

    said: Said
    source: str
    is_all: bool
    beside: list[Item]
    written_at: float = 0.0


class Asking(NamedTuple):
    """The servers that can be asked, and of the others: why not, and what came of asking them in a word.

    `contradictions` say which servers' files name other masters than this one's. Neither of the
    rest keeps a server from starting: that some of the `uris` are `away`, a line each, and that its own replica is
    `outdated`, and goes by the file as it was, which names other masters.
    """

    uris: list[str]
    reasons: list[str]
    outcomes: set[Outcome]
    contradictions: Sequence[str] = ()
    away: Sequence[str] = ()
    outdated: str = ""


def check_found(found: Found, config: Config) -> Checked:
    """Judge a whole directory."""
    with judged(config, found) as judge:
        return findings_of(judge, found)


def findings_of(judge: Judge, found: Found) -> Checked:
    """What is wrong with any of the entries.

    A directory that is not kept for us has addresses of others' domains, and members who get no mail: nothing is wrong
    with that, unless a list has no others.
    """
    own, mapped = found.said
    findings = [*judge.whole.findings]
    for item in own:
        findings += (*judge.findings_of(item), *judge.overlooked(item))
    for item in _with_addresses_of_ours(judge, mapped):
        found_here = [*judge.findings_of(item)]
        if not addresses_of_list(item) or any(finding.is_fatal for finding in found_here):
            findings += found_here
    return Checked(len(own) + len(mapped), tuple(dict.fromkeys(findings)))


def findings_in(said: Said, config: Config) -> list[Finding]:
    """What is wrong with any of these entries as lines of tables, in which everything has to lead somewhere.

    Raises:
        ConfigInvalid: tables beside the directory are wrong.
    """
    with judged(config, Found(said, "", True, _beside(config))) as judge:
        found = (finding for item in (*said.own, *said.mapped) for finding in judge.findings_of(item))
        return [*dict.fromkeys((*judge.whole.findings, *found))]


def _with_addresses_of_ours(judge: Judge, items: list[Item]) -> Iterator[Item]:
    for item in items:
        ours = tuple(filter(judge.is_ours, item.values(_ADDRESS)))
        if ours:
            yield item._replace(attributes={**item.attributes, _ADDRESS.lower(): ours})


def show_checked(checked: Checked, console: Console) -> None:
    """Print a line for each fault."""
    _show(checked.findings, console)
    if not checked.findings:
        console.print(
            Text("✓ ", "bold green") + Text(f"{count(checked.entries, 'entry', 'entries')}, nothing is wrong")
        )


def show_remarks(findings: Sequence[Finding], console: Console) -> None:
    """Print a line for each of the first few faults, the gravest of all, and how many more there are."""
    _show(sorted(findings, key=lambda finding: not finding.is_fatal)[:_REMARKED], console)
    if (further := len(findings) - _REMARKED) > 0:
        console.print(Text(f"! and {further:,} more"), soft_wrap=True)


def _show(findings: Iterable[Finding], console: Console) -> None:
    for finding in findings:
        mark = Text("✗ ", "bold red") if finding.is_fatal else Text("! ", "bold yellow")
        console.print(mark + Text(printable(str(finding))), soft_wrap=True)


def whom_to_ask(config: Config) -> Asking:
    """Whom to ask, and what else is wrong: in a directory that is not ours each is seen to show somebody, in ours to
    have our secret and the masters that our file names.

    Raises:
        ConfigInvalid: nobody could get in as the settings have it, or this server's own could not run.
    """
    settings = directory_of(config)
    if not is_external(settings):
        if config.server.name in config.replicas:
            find_installation()
        with authority(config) as trusted:
            access = access_of(settings, "reader", trusted)
            contradicting, outdated = _contradicting_files(config, access)
            return _with_our_secret(config, access)._replace(contradictions=contradicting, outdated=outdated)
    servers = look_at_servers(settings)
    others = [each for each in servers if each.outcome != "ok"]
    uris = [each.uri for each in servers if each.outcome == "ok"]
    return Asking(uris, [each.state for each in others], {each.outcome for each in others})


def _with_our_secret(config: Config, access: Access) -> Asking:
    """The replicas, without those that are seen to have another secret."""
    uris = replica_uris(config)

    def fault_of(uri: str) -> DirectoryUnavailable | None:
        try:
            open_session(uri, access).unbind_s()
        except DirectoryUnavailable as error:
            return error
        return None

    with ThreadPoolExecutor(max(1, len(uris))) as threads:
        faults = {uri: fault for uri, fault in zip(uris, threads.map(fault_of, uris), strict=True) if fault}
    differing = {uri: str(fault) for uri, fault in faults.items() if isinstance(fault, OtherSecret)}
    away = [_away(config, uri, fault) for uri, fault in faults.items() if uri not in differing]
    outcomes: set[Outcome] = {"another secret"} if differing else set()
    return Asking([uri for uri in uris if uri not in differing], [*differing.values()], outcomes, away=away)


def _away(config: Config, uri: str, fault: DirectoryUnavailable) -> str:
    """Whose replica does not answer, and why."""
    server = next(name for name in config.replicas if uri_of(config, name) == uri)
    return f"{server}{' (this server)' if server == config.server.name else ''}: {fault}"


def _contradicting_files(config: Config, access: Access) -> tuple[list[str], str]:
    """Which servers' files name other masters than this one's, as far as they can be asked.

    Also in what this server's own replica goes by the file as it was before; empty where it does not.
    """
    found = contradictions(config, access)
    own = found.pop(config.server.name, None)
    others = [f"{server}: {wrong}" for server, wrong in found.items()]
    if own is None:
        return others, ""
    was = own.wrong.removeprefix(CONTRADICTS)
    return others, f"this server's replica goes by the file as it was, which names {was}: restart this server"


def found_in(config: Config, uris: list[str]) -> Found | None:
    """What the first of `uris` has that answers, else what this server last knew of the entries that it holds whole."""
    settings = directory_of(config)
    beside = _beside(config)
    with authority(config) as trusted:
        access = access_of(settings, "reader", trusted)
        for uri in uris:
            try:
                with session_at(uri, settings, access) as directory:
                    return Found(_said(directory, config), uri, True, beside)
            except (DirectoryUnavailable, ConfigInvalid):
                continue
    if config.has_tables:
        return None
    path = os.path.join(settings.data_directory, COPY_NAME)
    copy = read_copy(path, settings.suffix)
    if copy is None or not copy.items:
        return None
    source = "the last copy, persons and lists excepted"
    return Found(Said(copy.items, []), source, False, [], os.stat(path).st_mtime)


def found_at(directory: Directory, config: Config) -> Found:
    """What a server has. Raises: ConfigInvalid: tables beside it are wrong."""
    return Found(_said(directory, config), directory.uri, True, _beside(config))


def _said(directory: Directory, config: Config) -> Said:
    """What a server has, except what tables say in its place, and what is in no part, which nobody goes by."""
    said = said_by(directory, directory_of(config))
    if config.parts[0].site:
        return said._replace(own=[item for item in said.own if part_with(config.parts, item.dn)])
    return said._replace(own=[item for item in said.own if not is_rule(item)]) if config.has_tables else said


def _beside(config: Config) -> list[Item]:
    if not config.has_tables:
        return []
    lines = lines_of_tables(config.tables.directory, config.base, TablesBeside)
    return entries_of(lines, directory_of(config).suffix)


@contextmanager
def judged(config: Config, found: Found) -> Iterator[Judge]:
    """A judge of what was found."""
    contents = Held([*found.said.own, *found.said.mapped, *found.beside])
    settings = directory_of(config)
    with judge_of(contents, settings.suffix, config.base, is_external=is_external(settings)) as judge:
        yield judge


def counted(found: Found) -> dict[str, int]:
    """How many lines of each table the entries say that can be understood."""
    numbers = dict.fromkeys(NAMES, 0)
    for item in (*found.said.own, *found.said.mapped, *found.beside):
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
    return f"{count(checked.fatal, 'entry', 'entries')} can't come into force, or get no mail"
