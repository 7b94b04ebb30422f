"""`nightmail directory`: set up the directory, and see and change what is in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import msgspec
import typer

from nightmail.admin.external import is_external, look_at_servers
from nightmail.admin.mastering import Master, confirm, master_now
from nightmail.admin.replicas import access_of, directory_of, replica_uris, uri_of
from nightmail.admin.whole_content import authority, said_by, session_at
from nightmail.cli.configuration import load_config
from nightmail.cli.directory_changes import Done, add_entries, delete_entries, modify_entries
from nightmail.cli.directory_checks import (
    check_found,
    fault_as_comment,
    found_at,
    show_checked,
    told,
    whom_to_ask,
    with_fault,
)
from nightmail.cli.directory_ours import load_ours
from nightmail.cli.directory_role import promote
from nightmail.cli.directory_screen import show_servers, show_standings
from nightmail.cli.directory_tables import carry_out, lines_of_tables, plan_for, show_plan
from nightmail.cli.directory_upkeep import backup, init, reseed, restore
from nightmail.cli.failing import CommandFailed, complain
from nightmail.cli.options import AsJson, ConfigFile, ServerName
from nightmail.cli.screen import print_json, screen
from nightmail.config.settings import Config
from nightmail.directory.exchange import normal_lines, text_of
from nightmail.directory.ldif import ldif_of
from nightmail.directory.reading import read_ldif
from nightmail.directory.selection import DirectoryTables
from nightmail.directory.sessions import Access
from nightmail.directory.standing import look_at
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.routing.source import NAMES
from nightmail.world import SystemClock

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Set up the directory, and see and change what is in it.",
)

app.command()(init)
app.command()(reseed)
app.command()(backup)
app.command()(restore)
app.command()(promote)

Ldif = Annotated[str, typer.Argument(metavar="LDIF", help="The file; -: standard input.")]
Force = Annotated[bool, typer.Option("--force", help="Also what can't come into force.")]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", show_default=False, help="Distinguished names.")]
Tables = Annotated[str, typer.Argument(metavar="TABLES", show_default=False, help="The directory with the tables.")]


@app.command("import")
def import_tables(
    tables: Tables,
    *,
    delete: Annotated[bool, typer.Option("--delete", help="Delete what the tables don't have.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    config: ConfigFile = None,
    name: ServerName = None,
    json: AsJson = False,
) -> None:
    """Have the directory say what tables say."""
    loaded = load_ours(config, name)
    wanted = lines_of_tables(tables, loaded.base)
    if dry_run:
        with _reading(loaded) as directory:
            show_plan(plan_for(wanted, directory, loaded, delete=delete), json=json)
        return
    with _writing(loaded) as directory:
        done = carry_out(plan_for(wanted, directory, loaded, delete=delete), directory)
        confirmed = _confirm(loaded, directory, is_whole=True)
    if json:
        print_json({**done, "confirmed": confirmed})
        return
    sys.stdout.write(f"Entries added: {done['added']:,}, changed: {done['changed']:,}, deleted: {done['deleted']:,}\n")
    if done["left"]:
        sys.stdout.write(f"{done['left']:,} lines that only the directory has are left; --delete takes them away.\n")


@app.command("export")
def export_tables(tables: Tables, config: ConfigFile = None, name: ServerName = None) -> None:
    """Write what the directory says as tables, into a directory that is empty or new."""
    loaded = load_config(config, name)
    settings = directory_of(loaded)
    os.makedirs(tables, exist_ok=True)
    if os.listdir(tables):
        raise ConfigInvalid(tables, "there is something in it", "name a directory that is empty or new")
    with _reading(loaded) as directory:
        said = said_by(directory, settings)
    lines = normal_lines(DirectoryTables([*said.own, *said.mapped], settings.suffix))
    for table in NAMES:
        with open(os.path.join(tables, table), "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text_of(table, lines))
    sys.stdout.write(f"{len(lines):,} lines written to {tables}\n")


@app.command()
def add(ldif: Ldif = "-", force: Force = False, config: ConfigFile = None, name: ServerName = None) -> None:
    """Add the entries of an LDIF file. Those that are there already, just so, are left."""
    loaded = load_ours(config, name)
    entries, changes = read_ldif(_text_of(ldif), ldif)
    if changes:
        raise ConfigInvalid(ldif, "it has changes of entries", "`nightmail directory modify` carries them out")
    with _writing(loaded) as directory:
        done = add_entries(directory, loaded, entries, force=force)
        _confirm(loaded, directory, is_whole=done.left > 0)
    _say_done("added", done, "there already")


@app.command()
def modify(ldif: Ldif = "-", force: Force = False, config: ConfigFile = None, name: ServerName = None) -> None:
    """Carry out the changes of an LDIF file (changetype: modify). Those that are carried out already are left."""
    loaded = load_ours(config, name)
    entries, changes = read_ldif(_text_of(ldif), ldif)
    if entries:
        raise ConfigInvalid(
            ldif, "it has whole entries", "`nightmail directory add` adds them; a change has changetype: modify"
        )
    with _writing(loaded) as directory:
        done = modify_entries(directory, loaded, changes, force=force)
        _confirm(loaded, directory, is_whole=done.left > 0)
    _say_done("changed", done, "so already")


@app.command()
def delete(names: Names, force: Force = False, config: ConfigFile = None, name: ServerName = None) -> None:
    """Delete entries, by their names. Those that are not there are named, and the others deleted."""
    loaded = load_ours(config, name)
    with _writing(loaded) as directory:
        try:
            done = delete_entries(directory, loaded, names, force=force)
        except ConfigInvalid:
            if directory.master.role is not None:  # gone already, perhaps, but not yet known to be gone everywhere
                _confirm(loaded, directory, is_whole=True)
            raise
        _confirm(loaded, directory, is_whole=done.left > 0)
    _say_done("deleted", done, "not there")


@app.command()
def check(config: ConfigFile = None, name: ServerName = None, json: AsJson = False) -> None:
    """Name every entry that can't come into force or be used, with the reason."""
    loaded = load_config(config, name)
    uris, reasons = whom_to_ask(loaded)
    if not uris:
        raise DirectoryUnavailable("; ".join(reasons))
    for reason in reasons:
        complain(reason)
    with _reading(loaded, uris) as directory:
        found = found_at(directory, loaded)
    checked = check_found(found, loaded)
    if json:
        print_json(checked)
    else:
        show_checked(checked, screen())
    if checked.fatal:
        raise CommandFailed(os.EX_CONFIG, told(checked))


@app.command()
def status(config: ConfigFile = None, name: ServerName = None, json: AsJson = False) -> None:
    """Show whether each replica answers, and how far it is behind the master."""
    loaded = load_config(config, name)
    if is_external(directory_of(loaded)):
        servers = look_at_servers(directory_of(loaded))
        print_json(servers) if json else show_servers(servers, screen())
        return
    with authority(loaded) as trusted:
        access = access_of(directory_of(loaded), "reader", trusted)
        uris = {server: uri_of(loaded, server) for server in loaded.replicas}
        master, wrong = _master_if_known(loaded)
        standings = look_at(uris, master.server, access, SystemClock().wall())
    if (role := master.role) is not None:
        standings = [
            msgspec.structs.replace(each, may_take_over=each.server in role.in_sync and each.server != master.server)
            for each in standings
        ]
    if json:
        print_json(standings)
    else:
        show_standings(standings, screen())
    if wrong:
        complain(wrong)


@app.command()
def search(
    filter_text: Annotated[
        str, typer.Argument(metavar="FILTER", help="Which entries, as in (mail=alice@example.org).")
    ] = "(objectClass=*)",
    config: ConfigFile = None,
    name: ServerName = None,
    json: AsJson = False,
) -> None:
    """Show entries as LDIF; of one that can't be understood a comment says why."""
    loaded = load_config(config, name)
    with _reading(loaded) as directory:
        found = directory.search(directory_of(loaded).suffix, filter_text)
        if json:
            print_json([with_fault(item) for item in found])
        else:
            for item in found:
                sys.stdout.write(f"{fault_as_comment(item)}{ldif_of([item])}")


def _master_if_known(config: Config) -> tuple[Master, str]:
    """Who takes writes, or nobody and why that is not known."""
    try:
        master = master_now(config)
    except DirectoryUnavailable as error:
        return Master(""), str(error)
    if master.role is not None and master.role.is_yielded:
        return Master("", master.role), f"{master.server} gave the master's role up, and nobody has taken it yet"
    return master, ""


def _say_done(what: str, done: Done, how: str) -> None:
    left = f", {how}: {done.left:,}" if done.left else ""
    sys.stdout.write(f"Entries {what}: {done.written:,}{left}\n")


def _text_of(ldif: str) -> str:
    if ldif == "-":
        return sys.stdin.read()
    try:
        with open(ldif, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(
            ldif, f"it can't be read: {error}", "name a file with LDIF, or - for standard input"
        ) from error


def _confirm(config: Config, directory: MasterReplica, *, is_whole: bool) -> list[str]:
    """The shadows on which everything that was written has been seen; it is said of the others that it was not.

    `is_whole`: something was found to be written already. Whoever wrote it may have been told that it does not count.
    """
    with authority(config) as trusted:
        access = access_of(directory_of(config), "reader", trusted)
        confirmation = confirm(config, directory.master, access, directory.written, is_whole=is_whole)
    if directory.master.role is not None:
        for server in [name for name in config.replicas if name not in (*confirmation.seen, directory.master.server)]:
            complain(f"written without {server}, which is not in sync")
    for server, reason in confirmation.unseen.items():
        complain(f"written on {directory.master.server} alone, and not yet seen on {server}: {reason}")
    return confirmation.seen


class MasterReplica(Directory):
    """The replica that takes writes."""

    def __init__(self, config: Config, master: Master, access: Access) -> None:
        super().__init__(uri_of(config, master.server), access, is_gated=master.role is not None)
        self.master = master


def _remedy(master: Master) -> str:
    """What to do where the master can't be written to."""
    if master.role is None:
        return "start it, then repeat this"
    if len(master.role.in_sync) > 1:
        return "another one takes its place in a moment: repeat this"
    return "no other is in sync: start it, or, if it is lost for good, `nightmail directory promote --force` on another"


@contextmanager
def _writing(config: Config) -> Iterator[MasterReplica]:
    """The master, as the account that may write."""
    with authority(config) as trusted:
        access = access_of(directory_of(config), "writer", trusted)
        master = master_now(config)
        try:
            directory = MasterReplica(config, master, access)
        except DirectoryUnavailable as error:
            why = f"the master is on {master.server}, and can't be written to: {error}; {_remedy(master)}"
            raise DirectoryUnavailable(why) from error
        with directory:
            yield directory


@contextmanager
def _reading(config: Config, uris: Sequence[str] = ()) -> Iterator[Directory]:
    """The first replica that answers, of `uris` where there are any."""
    with authority(config) as trusted:
        settings = directory_of(config)
        access = access_of(settings, "reader", trusted)
        *first, last = uris or replica_uris(config)
        for uri in first:
            try:
                directory = session_at(uri, settings, access)
            except DirectoryUnavailable:
                continue
            break
        else:
            directory = session_at(last, settings, access)
        with directory:
            yield directory
