"""`nightmail directory init|reseed|backup|restore`: what a replica has, as a whole."""

from __future__ import annotations

import os
import pwd
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Annotated

import typer

from nightmail.admin.own_replica import replica_of
from nightmail.admin.replicas import access_of, directory_of, replica_uris, secret_of, uri_of
from nightmail.cli.client import Client
from nightmail.cli.configuration import load_config
from nightmail.cli.failing import CommandFailed
from nightmail.cli.options import ConfigFile, ServerName
from nightmail.config.settings import Config
from nightmail.directory.accounts import first_entries
from nightmail.directory.certificates import write_authority
from nightmail.directory.ldif import ldif_of
from nightmail.directory.replica import Replica
from nightmail.directory.slapd import find_installation, has_entries, load_ldif, prepare, set_aside
from nightmail.directory.tree import Item
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.world import SystemClock

_MADE_UP = {"entrydn", "subschemasubentry", "hassubordinates", "numsubordinates"}

File = Annotated[str, typer.Argument(metavar="FILE", show_default=False, help="An LDIF file.")]


def init(config: ConfigFile = None, name: ServerName = None) -> None:
    """Begin a new directory on the server that is its first master."""
    loaded = load_config(config, name)
    settings, replica = directory_of(loaded), _own_replica(loaded)
    if replica.provider:
        wrong = f"the first master of the directory is {loaded.master}, not {loaded.server.name}"
        raise ConfigInvalid(loaded.path, wrong, f"run this on {loaded.master}; the other replicas fill by themselves")
    if has_entries(replica):
        raise ConfigInvalid(replica.directory, "there is a directory already", "nothing needs to be done")
    _fill(loaded, replica, [ldif_of(first_entries(settings.suffix, replica.accounts))])
    sys.stdout.write(f"The directory {settings.suffix} is set up in {replica.directory}. Start the server, then fill "
                     "it: nightmail directory import TABLES\n")  # fmt: skip


def reseed(config: ConfigFile = None, name: ServerName = None) -> None:
    """Have this server's replica begin anew with what the others have; what it had is kept aside."""
    loaded = load_config(config, name)
    _refuse_while_it_runs(loaded)
    replica, master = _own_replica(loaded), uri_of(loaded, loaded.master)
    others = sorted((uri for uri in replica_uris(loaded) if uri != replica.uri), key=lambda uri: uri != master)
    pieces = _everything(loaded, others)
    first = next(pieces)  # nothing is set aside before there is something else
    _say_aside(set_aside(replica, _moment()))
    _fill(loaded, replica, chain((first,), pieces))
    sys.stdout.write("This replica has what the other one had. Start the server.\n")


def backup(file: File, config: ConfigFile = None, name: ServerName = None) -> None:
    """Write everything that the directory has into a file, passwords included."""
    loaded = load_config(config, name)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        wrong = f"it can't be made: {os.strerror(error.errno or 0)}"
        raise ConfigInvalid(file, wrong, "name a file that is not there yet") from error
    count = 0
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as to:
        for piece in _everything(loaded, replica_uris(loaded)):
            to.write(piece)
            count += 1
        to.flush()
        os.fsync(descriptor)
    sys.stdout.write(f"{count:,} entries written to {file}\n")


def restore(file: File, config: ConfigFile = None, name: ServerName = None) -> None:
    """Have the master begin anew with what a backup has; what it had is kept aside."""
    loaded = load_config(config, name)
    _refuse_while_it_runs(loaded)
    replica = _own_replica(loaded)
    if replica.provider:
        wrong = f"the master of the directory is {loaded.master}, not {loaded.server.name}"
        raise ConfigInvalid(loaded.path, wrong, f"run this on {loaded.master}, then `reseed` on the others")
    try:
        source = open(file, encoding="utf-8", errors="surrogateescape")  # noqa: SIM115 - it is closed below
    except OSError as error:
        raise ConfigInvalid(file, f"it can't be read: {os.strerror(error.errno or 0)}", "name a backup") from error
    with source:
        _say_aside(set_aside(replica, _moment()))
        _fill(loaded, replica, source)
    sys.stdout.write(
        "The master has what the backup has. Start the server; then stop, `reseed` and start those of other replicas.\n"
    )


def _own_replica(config: Config) -> Replica:
    return replica_of(config, find_installation())


def _fill(config: Config, replica: Replica, pieces: Iterable[str]) -> None:
    installation = find_installation()
    prepare(replica, installation)
    load_ldif(replica, installation, pieces)
    _give_away(replica.directory, config.server.user)


def _refuse_while_it_runs(config: Config) -> None:
    try:
        Client(config.server.run_directory).status()
    except CommandFailed as failure:
        if failure.exit_code == os.EX_UNAVAILABLE:
            return
    raise ConfigInvalid(config.server.run_directory, "the server runs", "stop it first; its partner goes on")


def _everything(config: Config, uris: list[str]) -> Iterator[str]:
    """All entries of the first replica that answers, each as text, with what a replica needs to go on from there.

    Raises:
        DirectoryUnavailable: none answers.
    """
    settings = directory_of(config)
    with authority(config) as trusted:
        access = access_of(settings, "replicator", trusted)
        reason = "there is no other replica"
        for uri in uris:
            try:
                directory = Directory(uri, access)
            except DirectoryUnavailable as error:
                reason = str(error)
                continue
            with directory:
                for item in directory.search(settings.suffix, attributes=["*", "+"]):
                    yield ldif_of([_without_made_up(item)])
            return
    raise DirectoryUnavailable(reason)


def _without_made_up(item: Item) -> Item:
    """An entry without what a server works out when it is asked."""
    return item._replace(
        attributes={name: values for name, values in item.attributes.items() if name.lower() not in _MADE_UP}
    )


def _say_aside(archive: str) -> None:
    if archive:
        sys.stdout.write(f"What it had is in {archive} now; delete it once it is not needed any more.\n")


def _moment() -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(SystemClock().wall()))


@contextmanager
def authority(config: Config) -> Iterator[str]:
    """A file with whom to trust, for as long as it is needed."""
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
