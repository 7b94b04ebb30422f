"""Lays down what a replica is to be told and what a new one begins with, by OpenLDAP's own tools, and how it is run."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from nightmail.directory.accounts import above_the_parts
from nightmail.directory.exclusion import alone
from nightmail.directory.held import Held
from nightmail.directory.ldif import ldif_of
from nightmail.directory.numbering import numbered
from nightmail.directory.replica import Database, Replica, above_all, configuration, number_of
from nightmail.directory.soundness import is_sound
from nightmail.directory.told_masters import root_entry
from nightmail.errors import ConfigInvalid

_SYSTEM_PATH = "/usr/sbin:/usr/local/sbin:/usr/libexec:/usr/local/libexec"
_SCHEMA_DIRECTORIES = ("/etc/ldap/schema", "/etc/openldap/schema", "/usr/local/etc/openldap/schema")
_MODULE_DIRECTORIES = ("/usr/lib/ldap", "/usr/lib64/openldap", "/usr/libexec/openldap", "/usr/local/libexec/openldap")
_PASSWORD_MODULES = ("pw-sha2", "pw-pbkdf2", "argon2")
_CONNECTIONS = 8192
_DAMAGED = "damaged"
_LONG_AGO = "19700101000000.000000Z#000000#{:03x}#000000"  # with no number at all, nothing would be taken away
_DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
_NOBODY = 0  # who wrote the first entries
_REMEDY = "install OpenLDAP's server (apt-get install slapd)"


class Installation(NamedTuple):
    """Where the distribution keeps OpenLDAP. `password_modules` are those for passwords that other directories had."""

    slapd: str
    slapadd: str
    schema_directory: str
    module_directory: str
    password_modules: tuple[str, ...] = ()


def find_installation() -> Installation:
    """Where OpenLDAP's server is on this machine.

    Raises:
        ConfigInvalid: it is not installed.
    """
    path = f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PATH}"
    slapd, slapadd = (shutil.which(name, path=path) for name in ("slapd", "slapadd"))
    if slapd is None or slapadd is None:
        raise ConfigInvalid("[directory]", "slapd is not installed", _REMEDY)
    schemas = _first(_SCHEMA_DIRECTORIES, "misc.ldif")
    modules = _first(_MODULE_DIRECTORIES, "syncprov.la", "syncprov.so")
    passwords = tuple(name for name in _PASSWORD_MODULES if os.path.exists(os.path.join(modules, f"{name}.so")))
    return Installation(slapd, slapadd, schemas, modules, passwords)


def own_schema() -> str:
    """The file with what nightmail adds to the schema."""
    return str(files("nightmail.directory") / "schema" / "nightmail.ldif")


def _first(directories: Sequence[str], *names: str) -> str:
    for directory in directories:
        if any(os.path.exists(os.path.join(directory, name)) for name in names):
            return directory
    raise ConfigInvalid("[directory]", f"slapd's {names[0]} is in none of {', '.join(directories)}", _REMEDY)


@alone
def prepare(replica: Replica, installation: Installation) -> None:
    """Write the replica's configuration anew; its entries stay. Blocks for some 20 ms; slapd must not be running.

    Raises:
        ConfigInvalid: slapd refuses it, the entries are known to be damaged, or somebody else writes there.
        OSError: it can't be written.
    """
    for database in replica.databases:
        if damage := _damage(database):
            right = f"stop this server, {reseeding(database)}, start it: it has then what another replica has"
            raise ConfigInvalid(database.path, f"the entries are damaged: {damage}", right)
    shutil.rmtree(replica.role_database, ignore_errors=True)  # a gate is shut at every start
    shutil.rmtree(replica.accounts_database, ignore_errors=True)
    further = [replica.role_database] if replica.is_gated else []
    further += [replica.accounts_database] if replica.is_parted else []
    for directory in (replica.directory, *(database.path for database in replica.databases), *further):
        os.makedirs(directory, mode=0o700, exist_ok=True)
        os.chmod(directory, 0o700)
    with open(replica.root_entry, "w", encoding="utf-8") as file:
        file.write(ldif_of([root_entry(replica.masters)]))
    target = _configured(replica)
    shutil.rmtree(target, ignore_errors=True)
    os.mkdir(target, 0o700)
    head, schemas, rest = configuration(replica)
    includes = "".join(f"include: file://{quote(path)}\n\n" for path in schemas)
    _slapadd(replica, installation, "0", [ldif_of(head), includes, ldif_of(rest)])
    if replica.is_parted:
        accounts = ldif_of(above_the_parts(replica.suffix, replica.accounts))
        _slapadd(replica, installation, str(above_all(replica)), [accounts], "-q", "-g")


def reseeding(database: Database) -> str:
    """The command that has a database begin anew."""
    return f"`nightmail directory reseed{f' --site {database.site}' if database.site else ''}`"


def has_entries(database: Database) -> bool:
    """Whether the database was ever given or sent any entry."""
    try:
        return os.path.getsize(os.path.join(database.path, "data.mdb")) > 0
    except FileNotFoundError:
        return False


def is_begun(replica: Replica, database: Database, installation: Installation) -> bool:
    """Whether the database of a replica that does not run has the entry below which all others are.

    An empty shadow that ran has a file, too. Blocks for some 50 ms.

    Raises:
        ConfigInvalid: slapd refuses its configuration, or the entries are known to be damaged.
        OSError: its configuration can't be written.
    """
    if not has_entries(database):
        return False
    prepare(replica, installation)
    return _has_its_base(replica, database, installation)


def is_whole(replica: Replica, database: Database, installation: Installation) -> bool:
    """Whether one that `is_begun` has everything that it was sent: how far that goes (contextCSN) comes last.

    Blocks for some 50 ms; see `is_begun` for what it raises.
    """
    prepare(replica, installation)
    return b"\ncontextCSN:" in _its_base(replica, database, installation)


def _has_its_base(replica: Replica, database: Database, installation: Installation) -> bool:
    return bool(_its_base(replica, database, installation))


def _its_base(replica: Replica, database: Database, installation: Installation) -> bytes:
    """The entry below which all others are, as LDIF; empty where there is none."""
    number, where = str(number_of(replica, database)), f"ldap:///{quote(database.base)}??base"
    words = [installation.slapd, "-T", "cat", "-g", "-n", number, "-F", _configured(replica), "-H", where]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False).stdout  # noqa: S603 - our own


def note_damage(database: Database, words: str) -> None:
    """Remember beside the entries that slapd found them damaged, until others come in their place. Raises: OSError."""
    with open(os.path.join(database.path, _DAMAGED), "w", encoding="utf-8") as file:
        file.write(words)


def note_damage_of(replica: Replica, words: str) -> None:
    """Note it where it is: of several databases in those that can't be read, or in all if none is found. Blocks.

    Raises:
        OSError: it can't be written.
    """
    several = len(replica.databases) > 1
    damaged = [database for database in replica.databases if several and not is_sound(database.path)]
    for database in damaged or replica.databases:
        note_damage(database, words)


def is_damaged(database: Database) -> bool:
    """Whether slapd found the entries damaged."""
    return bool(_damage(database))


def _damage(database: Database) -> str:
    """What slapd once said of damaged entries, or empty."""
    try:
        with open(os.path.join(database.path, _DAMAGED), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


@alone
def load(
    replica: Replica,
    database: Database,
    installation: Installation,
    pieces: Iterable[str],
    moment: str,
    *,
    is_new: bool = False,
    now: float = 0.0,
    held: str = "",
) -> str:
    """Let a database of a replica that does not run have these entries, as LDIF, in place of what it has: all of them,
    or none.

    What it had is set aside under a name with `moment` in it; where that is, empty if it had nothing. Entries of a
    replica bring the numbers of their changes; those of one that `is_new` are given some, as changes of the time `now`.
    `held` is noted beside them, if it is not empty (`Held`).

    Raises:
        ConfigInvalid: slapd refuses one, the message has its words; or somebody else writes there.
        OSError: they can't be written.
    """
    number = number_of(replica, database)
    staging = _elsewhere(replica, f"{replica.directory}/loading")
    staged = staging.databases[number - 1]
    shutil.rmtree(staging.directory, ignore_errors=True)
    try:
        prepare(staging, installation)
        # slapadd could number them too (-w), but frees a cursor twice then, now and then, and dies of it.
        _slapadd(staging, installation, str(number), numbered(pieces, now) if is_new else pieces, "-q")
        if not _has_its_base(staging, staged, installation):
            raise ConfigInvalid("[directory]", "there is nothing to be loaded")
        _sync(os.path.join(staged.path, "data.mdb"))  # slapadd does not, when it is quick
        if held:
            Held(staged.path).write(held)
        _sync(staged.path)
        archive = f"{database.path}.{moment}" if has_entries(database) else ""
        if archive:
            os.rename(database.path, archive)
        shutil.rmtree(database.path, ignore_errors=True)
        os.rename(staged.path, database.path)
        _sync(replica.directory)
    finally:
        shutil.rmtree(staging.directory, ignore_errors=True)
    return archive


def _elsewhere(replica: Replica, directory: str) -> Replica:
    """The same replica, in another directory."""
    moved = tuple(
        msgspec.structs.replace(database, path=os.path.join(directory, os.path.basename(database.path)))
        for database in replica.databases
    )
    return msgspec.structs.replace(replica, directory=directory, databases=moved)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def drop_archives(database: Database, kept: int) -> None:
    """Delete what was set aside of a database's entries, except for the newest ones, and for what came from a master
    that was configured: that bears a name, and not only a time. Raises: OSError.
    """
    directory, name = os.path.split(database.path)
    archives = sorted(entry for entry in os.listdir(directory) if re.match(rf"{re.escape(name)}\.[0-9]", entry))
    for archive in archives[: max(0, len(archives) - kept)]:
        shutil.rmtree(os.path.join(directory, archive))


def command(replica: Replica, installation: Installation, uris: Sequence[str] = ()) -> list[str]:
    """The command that runs the replica in the foreground, until SIGTERM; it dies with whoever started it.

    It is reached at `uris`, by default its own and that of its Unix socket.

    A shadow begins by comparing all that it has with its master. How far it says that it is can't be believed: one that
    was killed while changes came may lack some of them, deletions mostly, and say that it is level.
    """
    anew = [word for database in replica.databases if database.writers for word in ("-c", _cookie(replica, database))]
    where = " ".join(uris or (replica.uri, manager_uri(replica)))
    return [
        "prlimit", f"--nofile={_CONNECTIONS}:{_CONNECTIONS}",  # slapd sets memory aside for as many as it may have
        *_DIES_WITH_US,
        installation.slapd, "-d", "none", "-F", _configured(replica), "-h", where, *anew,
    ]  # fmt: skip


def _cookie(replica: Replica, database: Database) -> str:
    """How far a database says that it is when it begins to follow another one: nowhere yet."""
    long_ago = ";".join(map(_LONG_AGO.format, (_NOBODY, *database.writers)))
    return f"rid={number_of(replica, database):03},csn={long_ago}"


def manager_uri(replica: Replica) -> str:
    """The URI of the replica's Unix socket."""
    return f"ldapi://{quote(os.path.join(replica.directory, 'ldapi'), safe='')}"


def _configured(replica: Replica) -> str:
    return os.path.join(replica.directory, "slapd.d")


def _slapadd(replica: Replica, installation: Installation, number: str, pieces: Iterable[str], *options: str) -> None:
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - the command is our own, and what users wrote is in its input
            [*_DIES_WITH_US, installation.slapadd, "-n", number, "-F", _configured(replica), *options],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
        )
        try:
            with process, contextlib.suppress(BrokenPipeError):  # what ended early says why
                _write_all(process, pieces)
        except BaseException:
            process.kill()
            raise
        if process.returncode:
            said.seek(0)
            words = " ".join(said.read().decode(errors="replace").split())
            raise ConfigInvalid("[directory]", f"slapadd refuses what it was given: {words[-500:]}")


def _write_all(process: subprocess.Popen[bytes], pieces: Iterable[str]) -> None:
    if process.stdin is None:
        raise RuntimeError("slapadd has no input")
    with process.stdin as to:
        for piece in pieces:
            to.write(piece.encode("utf-8", "surrogateescape"))
