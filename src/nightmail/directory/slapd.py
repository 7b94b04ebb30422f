"""Lays down what a replica is to be told and what a new one begins with, by OpenLDAP's own tools, and how it is run."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from nightmail.directory.ldif import ldif_of
from nightmail.directory.numbering import numbered
from nightmail.directory.replica import Replica, configuration
from nightmail.errors import ConfigInvalid

_SYSTEM_PATH = "/usr/sbin:/usr/local/sbin:/usr/libexec:/usr/local/libexec"
_SCHEMA_DIRECTORIES = ("/etc/ldap/schema", "/etc/openldap/schema", "/usr/local/etc/openldap/schema")
_MODULE_DIRECTORIES = ("/usr/lib/ldap", "/usr/lib64/openldap", "/usr/libexec/openldap", "/usr/local/libexec/openldap")
_CONNECTIONS = 8192
_LONG_AGO = "19700101000000.000000Z#000000#{:03x}#000000"  # with no number at all, nothing would be taken away
_REMEDY = "install OpenLDAP's server (apt-get install slapd)"


class Installation(NamedTuple):
    """Where the distribution keeps OpenLDAP."""

    slapd: str
    slapadd: str
    schema_directory: str
    module_directory: str


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
    return Installation(slapd, slapadd, schemas, modules)


def own_schema() -> str:
    """The file with what nightmail adds to the schema."""
    return str(files("nightmail.directory") / "schema" / "nightmail.ldif")


def _first(directories: Sequence[str], *names: str) -> str:
    for directory in directories:
        if any(os.path.exists(os.path.join(directory, name)) for name in names):
            return directory
    raise ConfigInvalid("[directory]", f"slapd's {names[0]} is in none of {', '.join(directories)}", _REMEDY)


def prepare(replica: Replica, installation: Installation) -> None:
    """Write the replica's configuration anew; its entries stay. Blocks for some 20 ms; slapd must not be running.

    Raises:
        ConfigInvalid: slapd refuses it.
        OSError: it can't be written.
    """
    for directory in (replica.directory, replica.database):
        os.makedirs(directory, mode=0o700, exist_ok=True)
        os.chmod(directory, 0o700)
    target = _configured(replica)
    shutil.rmtree(target, ignore_errors=True)
    os.mkdir(target, 0o700)
    head, schemas, rest = configuration(replica)
    includes = "".join(f"include: file://{quote(path)}\n\n" for path in schemas)
    _slapadd(replica, installation, "0", [ldif_of(head), includes, ldif_of(rest)])


def has_entries(replica: Replica) -> bool:
    """Whether the replica was ever given or sent any entry."""
    return os.path.exists(os.path.join(replica.database, "data.mdb"))


def load(
    replica: Replica,
    installation: Installation,
    pieces: Iterable[str],
    moment: str,
    *,
    is_new: bool = False,
    now: float = 0.0,
) -> str:
    """Let a replica that does not run have these entries, as LDIF, in place of what it has: all of them, or none.

    What it had is set aside under a name with `moment` in it; where that is, empty if it had nothing. Entries of a
    replica bring the numbers of their changes; those of one that `is_new` are given some, as changes of the time `now`.

    Raises:
        ConfigInvalid: slapd refuses one; the message has its words.
        OSError: they can't be written.
    """
    staging = msgspec.structs.replace(replica, directory=f"{replica.directory}/loading")
    shutil.rmtree(staging.directory, ignore_errors=True)
    try:
        prepare(staging, installation)
        # slapadd could number them too (-w), but frees a cursor twice then, now and then, and dies of it.
        _slapadd(staging, installation, "1", numbered(pieces, replica.number, now) if is_new else pieces, "-q")
        if not has_entries(staging):
            raise ConfigInvalid("[directory]", "there is nothing to be loaded")
        archive = f"{replica.database}.{moment}" if os.path.exists(replica.database) else ""
        if archive:
            os.rename(replica.database, archive)
        os.rename(staging.database, replica.database)
    finally:
        shutil.rmtree(staging.directory, ignore_errors=True)
    return archive


def command(replica: Replica, installation: Installation) -> list[str]:
    """The command that runs the replica in the foreground, until SIGTERM; it dies with whoever started it.

    A shadow begins by comparing all that it has with its master. How far it says that it is can't be believed: one that
    was killed while changes came may lack some of them, deletions mostly, and say that it is level.
    """
    anew = ["-c", f"rid={replica.number:03},csn={_LONG_AGO.format(replica.master)}"] if replica.master else []
    uris = f"{replica.uri} {manager_uri(replica)}"
    return [
        "prlimit", f"--nofile={_CONNECTIONS}:{_CONNECTIONS}",  # slapd sets memory aside for as many as it may have
        "setpriv", "--pdeathsig", "KILL",
        installation.slapd, "-d", "none", "-F", _configured(replica), "-h", uris, *anew,
    ]  # fmt: skip


def manager_uri(replica: Replica) -> str:
    """The URI of the replica's Unix socket."""
    return f"ldapi://{quote(os.path.join(replica.directory, 'ldapi'), safe='')}"


def _configured(replica: Replica) -> str:
    return os.path.join(replica.directory, "slapd.d")


def _slapadd(replica: Replica, installation: Installation, number: str, pieces: Iterable[str], *options: str) -> None:
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - the command is our own, and what users wrote is in its input
            [installation.slapadd, "-n", number, "-F", _configured(replica), *options],
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
