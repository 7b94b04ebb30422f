"""`nightmail directory`: set up the directory, and see and change what is in it."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import typer

from nightmail.admin.external import is_external, look_at_servers, schema_of
from nightmail.admin.replicas import access_of, directory_of, replica_uris, uri_of
from nightmail.cli.configuration import load_config
from nightmail.cli.directory_screen import show_servers, show_standings
from nightmail.cli.directory_upkeep import authority, backup, init, load_ours, reseed, restore
from nightmail.cli.failing import complain
from nightmail.cli.options import AsJson, ConfigFile, ServerName
from nightmail.cli.screen import print_json, screen
from nightmail.config.settings import Config
from nightmail.directory.exchange import normal_lines, plan_changes, text_of
from nightmail.directory.external import PagedDirectory
from nightmail.directory.ldif import ldif_of
from nightmail.directory.reading import read_ldif
from nightmail.directory.schemas import OWN
from nightmail.directory.selection import DirectoryTables
from nightmail.directory.settings import DirectorySettings
from nightmail.directory.standing import look_at, why_not_there
from nightmail.directory.tree import RULES_FILTER, Item, folded
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.routing.generations import check_tables
from nightmail.routing.source import NAMES
from nightmail.routing.tables import TextTables
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

Ldif = Annotated[str, typer.Argument(metavar="LDIF", help="The file; -: standard input.")]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", show_default=False, help="Distinguished names.")]
Tables = Annotated[str, typer.Argument(metavar="TABLES", show_default=False, help="The directory with the tables.")]


@app.command("import")
def import_tables(
    tables: Tables,
    delete: Annotated[bool, typer.Option("--delete", help="Delete what the tables don't have.")] = False,
    config: ConfigFile = None,
    name: ServerName = None,
    json: AsJson = False,
) -> None:
    """Have the directory say what tables say."""
    loaded = load_ours(config, name)
    settings = directory_of(loaded)
    with tempfile.TemporaryDirectory(prefix="nightmail-import-") as scratch:
        check_tables(tables, scratch, loaded.base)
    wanted = normal_lines(TextTables(tables))
    with _writing(loaded) as directory:
        changes = plan_changes(wanted, map(folded, directory.search(settings.suffix)), settings.suffix, delete=delete)
        renewed = directory.delete(name for name, _ in changes.renewed)
        done = {
            "added": directory.add([*(item for _, item in changes.renewed), *changes.added]) - renewed,
            "changed": directory.replace(changes.replaced) + renewed,
            "deleted": directory.delete(changes.deleted),
            "left": changes.foreign,
        }
        confirmed = _confirm(loaded, directory.written)
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
        items = _entries(directory, settings)
    lines = normal_lines(DirectoryTables(items, settings.suffix))
    for table in NAMES:
        with open(os.path.join(tables, table), "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text_of(table, lines))
    sys.stdout.write(f"{len(lines):,} lines written to {tables}\n")


@app.command()
def add(ldif: Ldif = "-", config: ConfigFile = None, name: ServerName = None) -> None:
    """Add the entries of an LDIF file."""
    loaded = load_ours(config, name)
    entries, changes = read_ldif(_text_of(ldif), ldif)
    if changes:
        raise ConfigInvalid(ldif, "it has changes of entries", "`nightmail directory modify` carries them out")
    with _writing(loaded) as directory:
        count = directory.add(entries)
        _confirm(loaded, directory.written)
    sys.stdout.write(f"Entries added: {count:,}\n")


@app.command()
def modify(ldif: Ldif = "-", config: ConfigFile = None, name: ServerName = None) -> None:
    """Carry out the changes of an LDIF file (changetype: modify)."""
    loaded = load_ours(config, name)
    entries, changes = read_ldif(_text_of(ldif), ldif)
    if entries:
        raise ConfigInvalid(
            ldif, "it has whole entries", "`nightmail directory add` adds them; a change has changetype: modify"
        )
    with _writing(loaded) as directory:
        for entry, change in changes:
            directory.modify(entry, change)
        _confirm(loaded, directory.written)
    sys.stdout.write(f"Entries changed: {len(changes):,}\n")


@app.command()
def delete(names: Names, config: ConfigFile = None, name: ServerName = None) -> None:
    """Delete entries, by their names."""
    loaded = load_ours(config, name)
    with _writing(loaded) as directory:
        count = directory.delete(names)
        _confirm(loaded, directory.written)
    sys.stdout.write(f"Entries deleted: {count:,}\n")


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
        standings = look_at(uris, loaded.master, access, SystemClock().wall())
    if json:
        print_json(standings)
    else:
        show_standings(standings, screen())


@app.command()
def search(
    filter_text: Annotated[
        str, typer.Argument(metavar="FILTER", help="Which entries, as in (mail=alice@example.org).")
    ] = "(objectClass=*)",
    config: ConfigFile = None,
    name: ServerName = None,
    json: AsJson = False,
) -> None:
    """Show entries as LDIF."""
    loaded = load_config(config, name)
    with _reading(loaded) as directory:
        found = directory.search(directory_of(loaded).suffix, filter_text)
        if json:
            print_json([{"dn": item.dn, **item.attributes} for item in found])
        else:
            for item in found:
                sys.stdout.write(ldif_of([item]))


def _entries(directory: Directory, settings: DirectorySettings) -> list[Item]:
    """All that a directory says, in the words of our own schema."""
    schema = schema_of(settings)
    if schema is OWN:
        return [*map(folded, directory.search(settings.suffix))]
    rules = map(folded, directory.search(settings.suffix, RULES_FILTER))
    return [*rules, *(schema.read(folded(item)) for item in directory.search(settings.suffix, schema.mail_filter))]


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


def _confirm(config: Config, written: Mapping[str, str]) -> list[str]:
    """The shadows on which everything that was written has been seen; it is said of the others that it was not."""
    shadows = [server for server in config.replicas if server != config.master]
    confirmed: list[str] = []
    with authority(config) as trusted:
        access = access_of(directory_of(config), "reader", trusted)
        for server in shadows:
            reason = asyncio.run(why_not_there(uri_of(config, server), access, written, SystemClock()))
            if reason:
                complain(f"written on {config.master} alone, and not yet seen on {server}: {reason}")
            else:
                confirmed.append(server)
    return confirmed


@contextmanager
def _writing(config: Config) -> Iterator[Directory]:
    """The master, as the account that may write."""
    with authority(config) as trusted:
        access = access_of(directory_of(config), "writer", trusted)
        try:
            directory = Directory(uri_of(config, config.master), access)
        except DirectoryUnavailable as error:
            why = f"the master is on {config.master}, and can't be written to: {error}; start it, then repeat this"
            raise DirectoryUnavailable(why) from error
        with directory:
            yield directory


@contextmanager
def _reading(config: Config) -> Iterator[Directory]:
    """The first replica that answers."""
    with authority(config) as trusted:
        access = access_of(directory_of(config), "reader", trusted)
        kind = PagedDirectory if is_external(directory_of(config)) else Directory
        *first, last = replica_uris(config)
        for uri in first:
            try:
                directory = kind(uri, access)
            except DirectoryUnavailable:
                continue
            break
        else:
            directory = kind(last, access)
        with directory:
            yield directory
