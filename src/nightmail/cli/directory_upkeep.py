"""`nightmail directory init|reseed|backup|restore`: what a replica has, as a whole."""

from __future__ import annotations

import os
import pwd
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from nightmail.admin.claiming import claim, refuse_where_there_is_a_role, see_that_nobody_leads
from nightmail.admin.own_replica import replica_of
from nightmail.admin.replicas import access_of, directory_of
from nightmail.admin.sources import other_replicas, sources_of
from nightmail.admin.whole_content import authority, everything, moment
from nightmail.cli.client import Client
from nightmail.cli.directory_ours import load_ours
from nightmail.cli.directory_tables import entries_of, lines_given
from nightmail.cli.failing import CommandFailed, GivenWrong, complain, given, written_to
from nightmail.cli.options import ConfigFile, ServerName
from nightmail.config.settings import Config
from nightmail.directory.accounts import first_entries
from nightmail.directory.copying import copy_of, first_that_gives
from nightmail.directory.held import VOID, Held
from nightmail.directory.ldif import ldif_of, records_below
from nightmail.directory.parts import Part
from nightmail.directory.replica import Database, Replica
from nightmail.directory.sessions import joined
from nightmail.directory.slapd import find_installation, is_begun, load, reseeding
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
    """Begin a new directory on the server that is its first master, or with several sites that site's part of it."""
    loaded = load_ours(config, name)
    lines = lines_given(tables, loaded.base) if tables else {}
    _prepare_to_write(loaded)
    settings, replica = directory_of(loaded), _own_replica(loaded)
    to_begin = _to_begin(loaded, replica)
    if to_begin is None:
        if lines:
            wrong = f"there is a directory already, and it was not given what {tables} has"
            raise ConfigInvalid(replica.directory, wrong, "start the server, then `nightmail directory import`")
        sys.stdout.write(f"There is a directory in {replica.directory} already; nothing needs to be done.\n")
        return
    part, database = to_begin
    if loaded.has_failover:
        refuse_where_there_is_a_role(loaded)
    other = "" if force else _filled_replica(loaded, part, database)
    if other:
        right = "`nightmail directory reseed` takes what it has; a new directory would replace it, and needs --force"
        raise ConfigInvalid(other, f"this replica has {_named(part)}", right)
    items = [*first_entries(part, settings.suffix, replica.accounts), *entries_of(lines, part.base)]
    aside = load(
        replica,
        database,
        find_installation(),
        (ldif_of([item]) for item in items),
        moment(SystemClock()),
        is_new=True,
        now=SystemClock().wall(),
    )
    _say_aside(aside)
    then = f"It has the {len(lines):,} lines of {tables}." if lines else "Fill it: nightmail directory import TABLES"
    whole = _named(part)
    said = f"{whole[0].upper()}{whole[1:]} {part.base} is set up in {replica.directory}. Start the server. {then}\n"
    sys.stdout.write(said)


def reseed(
    site: Annotated[
        str, typer.Option("--site", metavar="SITE", show_default=False, help="Only this site's part of the directory.")
    ] = "",
    config: ConfigFile = None,
    name: ServerName = None,
) -> None:
    """Have this server's replica begin anew with what the others have; what it had is kept aside."""
    loaded = load_ours(config, name)
    wanted = [part for part in loaded.parts if site in ("", part.site)]
    if not wanted:
        sites = ", ".join(part.site for part in loaded.parts if part.site)
        right = f"name one of {sites}" if sites else 'leave --site away: that is for topology = "multi-site"'
        raise GivenWrong("--site", f"no site {site} has a part of the directory", right)
    _prepare_to_write(loaded)
    replica = _own_replica(loaded)
    if loaded.has_failover:
        for database in replica.databases:
            Held(database.path).void()
        sys.stdout.write("This replica begins anew with what the master has when the server starts.\n")
        return
    errors, sources = [], dict[str, None]()
    for part, database in _kept(loaded, replica):
        if part in wanted:
            try:
                sources[_take_over(loaded, part, replica, database)] = None
            except DirectoryUnavailable as error:
                errors.append(type(error)(f"{part.base}: {error}") if part.site else error)
    if errors:
        raise joined(errors)
    sys.stdout.write(f"This replica has what {' and '.join(sources)} had. Start the server.\n")


def backup(file: File, config: ConfigFile = None, name: ServerName = None) -> None:
    """Write everything that the directory has into a file, passwords included."""
    loaded = load_ours(config, name)
    if os.path.exists(file):
        raise GivenWrong(file, "there is something of that name", "name a file that is not there yet")
    unfinished = f"{file}.unfinished"
    count = 0
    with written_to(file):
        with open(os.open(unfinished, _ANEW, 0o600), "w", encoding="utf-8", errors="surrogateescape") as to:
            for piece in everything(loaded):
                to.write(piece)
                count += 1
            to.write(_END.format(count=count))
            to.flush()
            os.fsync(to.fileno())
        os.rename(unfinished, file)
    sys.stdout.write(f"{count:,} entries written to {file}\n")


def restore(file: File, config: ConfigFile = None, name: ServerName = None) -> None:
    """Have the master begin anew with what a backup has, with several sites those parts that it is the master of."""
    loaded = load_ours(config, name)
    try:
        source = open(file, encoding="utf-8", errors="surrogateescape")  # noqa: SIM115 - it is closed below
    except OSError as error:
        raise GivenWrong(file, f"it can't be read: {os.strerror(error.errno or 0)}", "name a backup") from error
    with source:
        _prepare_to_write(loaded)
        replica = _own_replica(loaded)
        if loaded.has_failover:
            _restore_and_lead(loaded, replica, _whole(source, file))
            return
        own = _own_parts(loaded, replica)
        with given():
            if not loaded.parts[0].site:
                [(_, database)] = own
                _restore(replica, database, _whole(source, file))
            else:
                for part, database in own:
                    source.seek(0)
                    _restore_part(part, replica, database, _whole(source, file), file)
    others = "`reseed`" if not loaded.parts[0].site else " and ".join(f"`reseed --site {part.site}`" for part, _ in own)
    sys.stdout.write(f"The master has what the backup has. Start the server; then stop, {others} and start those of "
                     "other replicas.\n")  # fmt: skip


def _restore(replica: Replica, database: Database, lines: Iterable[str], held: str = "") -> None:
    now = SystemClock()
    _say_aside(load(replica, database, find_installation(), numbered_anew(lines, now.wall()), moment(now), held=held))


def _restore_and_lead(config: Config, replica: Replica, lines: Iterable[str]) -> None:
    """Restore where the role moves: this server has it then."""
    see_that_nobody_leads(config)
    [database] = replica.databases
    before = Held(database.path).read()
    with given():
        _restore(replica, database, lines, VOID)  # until the role is had with them
    claim(config, Held(database.path), before)
    sys.stdout.write("Start the server: it is the master, and has what the backup has; all others begin anew.\n")


def _restore_part(part: Part, replica: Replica, database: Database, lines: Iterable[str], file: str) -> None:
    """Restore one part of several, and say how much of the backup is of others."""
    counts = Counter[bool]()
    try:
        _restore(replica, database, records_below(part.base, lines, counts))
    except ConfigInvalid:
        if counts[False] and not counts[True]:
            wrong = f"it has nothing of {part.base}"
            raise ConfigInvalid(file, wrong, "name a backup that has that part") from None
        raise
    sys.stdout.write(f"{part.base} has {counts[True]:,} entries. {counts[False]:,} others in the file are not its own; "
                     "their master restores them.\n")  # fmt: skip


def _kept(config: Config, replica: Replica) -> Iterator[tuple[Part, Database]]:
    """The parts of the directory, and where this server keeps each."""
    return zip(config.parts, replica.databases, strict=True)


def _own_parts(config: Config, replica: Replica) -> list[tuple[Part, Database]]:
    """Those that this server is the first master of. Raises: ConfigInvalid: there are none."""
    name = config.server.name
    own = [(part, database) for part, database in _kept(config, replica) if config.master_of(part) == name]
    if own:
        return own
    masters = {part.site: config.master_of(part) for part in config.parts}
    whose = " and ".join(f"{master} of that of {site}" for site, master in masters.items())
    wrong = f"{name} is the master of no site's part of the directory: {whose}"
    if "" in masters:
        wrong = f"the first master of the directory is {masters['']}, not {name}"
    there = masters.get(config.site_of(name)) or " or ".join(dict.fromkeys(masters.values()))
    raise ConfigInvalid(config.path, wrong, f"run this on {there}; the other replicas fill by themselves")


def _to_begin(config: Config, replica: Replica) -> tuple[Part, Database] | None:
    """What this server is the master of and has nothing of yet, of its own site before others; None: nothing.

    Raises:
        ConfigInvalid: it is the master of nothing.
    """
    found = find_installation()
    own = _own_parts(config, replica)
    empty = [(part, database) for part, database in own if not is_begun(replica, database, found)]
    site = config.site_of(config.server.name)
    return min(empty, key=lambda each: each[0].site != site, default=None)


def _named(part: Part) -> str:
    return "the part" if part.site else "the directory"


def _take_over(config: Config, part: Part, replica: Replica, database: Database) -> str:
    """Have a database begin with what another replica has; the URI of that one.

    Raises:
        DirectoryUnavailable: none has it.
    """
    with authority(config) as trusted:
        access = access_of(directory_of(config), "replicator", trusted)

        def take(uri: str) -> str:
            copy = copy_of(uri, part.base, access)
            return load(replica, database, find_installation(), copy, moment(SystemClock()))

        uri, aside = first_that_gives(sources_of(config, part, access), take)
    _say_aside(aside)
    return uri


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


def _filled_replica(config: Config, part: Part, database: Database) -> str:
    """Another replica that has entries of a part, if one answers. Where none has, it is said who did not answer."""
    unasked = []
    with authority(config) as trusted:
        access = access_of(directory_of(config), "reader", trusted)
        for uri in other_replicas(config, part):
            try:
                with Directory(uri, access) as directory:
                    if directory.read(part.base) is not None:
                        return uri
            except (DirectoryUnavailable, ConfigInvalid) as error:
                unasked.append(str(error))
    if unasked:
        then = "`nightmail directory promote --force` there" if config.has_failover else f"{reseeding(database)} here"
        complain(
            f"who does not answer yet, as is usual on a first setup: {'; '.join(unasked)}. If one of them has "
            f"{_named(part)} already, don't start this server: start that one, then {then}"
        )
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
