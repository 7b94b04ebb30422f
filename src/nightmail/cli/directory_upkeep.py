"""`nightmail directory init|reseed|backup|restore`: what a replica has, as a whole."""

from __future__ import annotations

import os
import pwd
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from nightmail.admin.claiming import claim, refuse_where_there_is_a_role, see_that_nobody_leads
from nightmail.admin.own_replica import replica_of
from nightmail.admin.replicas import access_of, directory_of, replica_uris
from nightmail.admin.whole_content import authority, everything, moment, other_replicas
from nightmail.cli.client import Client
from nightmail.cli.directory_ours import load_ours
from nightmail.cli.directory_tables import entries_of, lines_of_tables
from nightmail.cli.failing import CommandFailed, complain
from nightmail.cli.options import ConfigFile, ServerName
from nightmail.config.settings import Config
from nightmail.directory.accounts import first_entries
from nightmail.directory.held import VOID, Held
from nightmail.directory.ldif import ldif_of
from nightmail.directory.replica import Replica
from nightmail.directory.slapd import find_installation, has_entries, load
from nightmail.directory.threats import numbered_anew
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.world import SystemClock

_ANEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
_END = "# {count} entries, and that is all\n"
_ENDED = re.compile(r"# [0-9]+ entries, and that is all\n")

File = Annotated[str, typer.Argument(metavar="FILE", show_default=False, help="An LDIF file.")]


def init(
    tables: Annotated[
        str, typer.Option("--tables", metavar="TABLES", show_default=False, help="Begin with what these tables say.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Even if another replica has a directory.")] = False,
    config: ConfigFile = None,
    name: ServerName = None,
) -> None:
    """Begin a new directory on the server that is its first master."""
    loaded = load_ours(config, name)
    lines = lines_of_tables(tables, loaded.base) if tables else {}
    _prepare_to_write(loaded)
    settings, replica = directory_of(loaded), _own_replica(loaded)
    if loaded.server.name != loaded.master:
        wrong = f"the first master of the directory is {loaded.master}, not {loaded.server.name}"
        raise ConfigInvalid(loaded.path, wrong, f"run this on {loaded.master}; the other replicas fill by themselves")
    if has_entries(replica):
        raise ConfigInvalid(replica.directory, "there is a directory already", "nothing needs to be done")
    if loaded.has_failover:
        refuse_where_there_is_a_role(loaded)
    other = "" if force else _filled_replica(loaded)
    if other:
        right = "`nightmail directory reseed` takes what it has; a new directory would replace it, and needs --force"
        raise ConfigInvalid(other, "this replica has the directory", right)
    items = [*first_entries(settings.suffix, replica.accounts), *entries_of(lines, settings.suffix)]
    load(
        replica,
        find_installation(),
        (ldif_of([item]) for item in items),
        moment(SystemClock()),
        is_new=True,
        now=SystemClock().wall(),
    )
    then = f"It has the {len(lines):,} lines of {tables}." if lines else "Fill it: nightmail directory import TABLES"
    sys.stdout.write(f"The directory {settings.suffix} is set up in {replica.directory}. Start the server. {then}\n")


def reseed(config: ConfigFile = None, name: ServerName = None) -> None:
    """Have this server's replica begin anew with what the others have; what it had is kept aside."""
    loaded = load_ours(config, name)
    _prepare_to_write(loaded)
    replica = _own_replica(loaded)
    if loaded.has_failover:
        Held(replica.database).void()
        sys.stdout.write("This replica begins anew with what the master has when the server starts.\n")
        return
    _say_aside(load(replica, find_installation(), everything(loaded, other_replicas(loaded)), moment(SystemClock())))
    sys.stdout.write("This replica has what the other one had. Start the server.\n")


def backup(file: File, config: ConfigFile = None, name: ServerName = None) -> None:
    """Write everything that the directory has into a file, passwords included."""
    loaded = load_ours(config, name)
    if os.path.exists(file):
        raise ConfigInvalid(file, "there is something of that name", "name a file that is not there yet")
    unfinished = f"{file}.unfinished"
    count = 0
    try:
        with open(os.open(unfinished, _ANEW, 0o600), "w", encoding="utf-8", errors="surrogateescape") as to:
            for piece in everything(loaded, replica_uris(loaded)):
                to.write(piece)
                count += 1
            to.write(_END.format(count=count))
            to.flush()
            os.fsync(to.fileno())
        os.rename(unfinished, file)
    except OSError as error:
        wrong = f"it can't be written: {os.strerror(error.errno or 0)}"
        raise ConfigInvalid(file, wrong, "name another place") from error
    sys.stdout.write(f"{count:,} entries written to {file}\n")


def restore(file: File, config: ConfigFile = None, name: ServerName = None) -> None:
    """Have the master begin anew with what a backup has; what it had is kept aside."""
    loaded = load_ours(config, name)
    try:
        source = open(file, encoding="utf-8", errors="surrogateescape")  # noqa: SIM115 - it is closed below
    except OSError as error:
        raise ConfigInvalid(file, f"it can't be read: {os.strerror(error.errno or 0)}", "name a backup") from error
    with source:
        _prepare_to_write(loaded)
        replica = _own_replica(loaded)
        if loaded.has_failover:
            see_that_nobody_leads(loaded)
        elif replica.provider:
            wrong = f"the master of the directory is {loaded.master}, not {loaded.server.name}"
            raise ConfigInvalid(loaded.path, wrong, f"run this on {loaded.master}, then `reseed` on the others")
        before = Held(replica.database).read()
        lines = numbered_anew(_whole(source, file), SystemClock().wall())
        held = VOID if loaded.has_failover else ""  # until the role is had with them
        _say_aside(load(replica, find_installation(), lines, moment(SystemClock()), held=held))
    if loaded.has_failover:
        claim(loaded, Held(replica.database), before)
        sys.stdout.write("Start the server: it is the master, and has what the backup has; all others begin anew.\n")
        return
    sys.stdout.write("The master has what the backup has. Start the server; then stop, `reseed` and start those of "
                     "other replicas.\n")  # fmt: skip


def _own_replica(config: Config) -> Replica:
    try:
        return replica_of(config, find_installation())
    except OSError as error:
        wrong = f"{error.filename or directory_of(config).data_directory}: {os.strerror(error.errno or 0)}"
        right = "name a directory that the server's user may write to"
        raise ConfigInvalid("[directory] data_directory", wrong, right) from error


def _prepare_to_write(config: Config) -> None:
    """See that the server does not run, and be the user that it runs as: nothing of a replica is root's.

    Raises:
        ConfigInvalid: it runs, or there is no such user.
    """
    try:
        Client(config.server.run_directory).status()
    except CommandFailed as failure:
        if failure.exit_code != os.EX_UNAVAILABLE:
            raise
    else:
        raise ConfigInvalid(config.server.run_directory, "the server runs", "stop it first; its partner goes on")
    user = config.server.user
    if not user or os.geteuid() != 0:
        return
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise ConfigInvalid("[server] user", f"there is no user {user!r}", "create it or name another") from None
    data = directory_of(config).data_directory
    if not os.path.isdir(data):
        os.makedirs(data, mode=0o700)
        os.chown(data, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
    os.initgroups(user, entry.pw_gid)
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)


def _filled_replica(config: Config) -> str:
    """Another replica that has entries, if one answers."""
    settings = directory_of(config)
    with authority(config) as trusted:
        for uri in other_replicas(config):
            try:
                with Directory(uri, access_of(settings, "reader", trusted)) as directory:
                    if any(directory.search(settings.suffix)):
                        return uri
            except (DirectoryUnavailable, ConfigInvalid) as error:
                complain(f"a replica was not asked whether it has the directory already: {error}")
    return ""


def _whole(lines: Iterable[str], file: str) -> Iterator[str]:
    """The lines of a backup, to its end. Raises: ConfigInvalid: it has none, as one that was not finished."""
    last = ""
    for line in lines:
        last = line
        yield line
    if not _ENDED.fullmatch(last):
        raise ConfigInvalid(file, "this is no whole backup", "`nightmail directory backup` makes one")


def _say_aside(archive: str) -> None:
    if archive:
        sys.stdout.write(f"What it had is in {archive} now; delete it once it is not needed any more.\n")
