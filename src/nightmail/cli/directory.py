"""`nightmail directory`: set up the directory, and see and change what is in it."""

from __future__ import annotations

import os
import pwd
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from nightmail.admin.own_replica import replica_of
from nightmail.admin.replicas import access_of, directory_of, replica_uris, secret_of, uri_of
from nightmail.cli.configuration import load_config
from nightmail.cli.options import AsJson, ConfigFile, ServerName
from nightmail.cli.screen import print_json
from nightmail.config.settings import Config
from nightmail.directory.accounts import first_entries
from nightmail.directory.certificates import write_authority
from nightmail.directory.exchange import normal_lines, plan_changes, text_of
from nightmail.directory.ldif import ldif_of
from nightmail.directory.selection import DirectoryTables
from nightmail.directory.slapd import find_installation, has_entries, load, prepare
from nightmail.directory.tree import folded
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.routing.generations import check_tables
from nightmail.routing.source import NAMES
from nightmail.routing.tables import TextTables

app = typer.Typer(no_args_is_help=True, help="Set up the directory, and see and change what is in it.")

Tables = Annotated[str, typer.Argument(metavar="TABLES", show_default=False, help="The directory with the tables.")]


@app.command()
def init(config: ConfigFile = None, name: ServerName = None) -> None:
    """Begin a new directory on the server that is its first master."""
    loaded = load_config(config, name)
    settings, server = directory_of(loaded), loaded.server
    if server.name != loaded.master:
        wrong = f"the first master of the directory is {loaded.master}, not {server.name}"
        raise ConfigInvalid(loaded.path, wrong, f"run this on {loaded.master}; the other replicas fill by themselves")
    installation = find_installation()
    replica = replica_of(loaded, installation)
    if has_entries(replica):
        raise ConfigInvalid(replica.directory, "there is a directory already", "nothing needs to be done")
    prepare(replica, installation)
    load(replica, installation, first_entries(settings.suffix, replica.accounts))
    _give_away(replica.directory, server.user)
    sys.stdout.write(f"The directory {settings.suffix} is set up in {replica.directory}. Start the server, then fill "
                     "it: nightmail directory import TABLES\n")  # fmt: skip


@app.command("import")
def import_tables(
    tables: Tables,
    delete: Annotated[bool, typer.Option("--delete", help="Delete what the tables don't have.")] = False,
    config: ConfigFile = None,
    name: ServerName = None,
    json: AsJson = False,
) -> None:
    """Have the directory say what tables say."""
    loaded = load_config(config, name)
    settings = directory_of(loaded)
    with tempfile.TemporaryDirectory(prefix="nightmail-import-") as scratch:
        check_tables(tables, scratch, loaded.base)
    wanted = normal_lines(TextTables(tables))
    with _writing(loaded) as directory:
        changes = plan_changes(wanted, map(folded, directory.search(settings.suffix)), settings.suffix, delete=delete)
        done = {
            "added": directory.add(changes.added),
            "changed": directory.replace(changes.replaced),
            "deleted": directory.delete(changes.deleted),
            "left": changes.foreign,
        }
    if json:
        print_json(done)
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
        items = [*map(folded, directory.search(settings.suffix))]
    lines = normal_lines(DirectoryTables(items, settings.suffix))
    for table in NAMES:
        with open(os.path.join(tables, table), "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text_of(table, lines))
    sys.stdout.write(f"{len(lines):,} lines written to {tables}\n")


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


@contextmanager
def _writing(config: Config) -> Iterator[Directory]:
    """The master, as the account that may write."""
    with _authority(config) as authority:
        access = access_of(directory_of(config), "writer", authority)
        with Directory(uri_of(config, config.master), access) as directory:
            yield directory


@contextmanager
def _reading(config: Config) -> Iterator[Directory]:
    """The first replica that answers."""
    with _authority(config) as authority:
        access = access_of(directory_of(config), "reader", authority)
        *first, last = replica_uris(config)
        for uri in first:
            try:
                directory = Directory(uri, access)
            except DirectoryUnavailable:
                continue
            break
        else:
            directory = Directory(last, access)
        with directory:
            yield directory


@contextmanager
def _authority(config: Config) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="nightmail-directory-") as scratch:
        path = os.path.join(scratch, "authority.pem")
        write_authority(path, secret_of(directory_of(config)))
        yield path


def _give_away(directory: str, user: str) -> None:
    """Let the user that the server runs as have what root has made."""
    if not user or os.geteuid() != 0:
        return
    entry = pwd.getpwnam(user)
    for path, _, names in os.walk(directory):
        for each in (path, *(os.path.join(path, name) for name in names)):
            os.chown(each, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
