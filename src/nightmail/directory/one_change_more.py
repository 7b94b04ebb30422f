"""Whoever follows a replica compares everything with it once it was started: what it never shipped is found then.

A master that is killed may have kept a change, and not the note of how far it is (contextCSN), which it writes after
it. When it runs again, its shadow is as far as that note: it asks for nothing, and for nothing again once there are
later changes. So before a master lets anybody in, it makes one change more. Whoever comes is behind then, and is told
of all that there is.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import IO

import ldap
import msgspec
import structlog

from nightmail.directory.accounts import account
from nightmail.directory.replica import Database, Replica
from nightmail.directory.sessions import Access, Refused
from nightmail.directory.slapd import Installation, command, has_entries, manager_uri, prepare
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.world import Clock

_START_S = 10.0
_LOOK_AGAIN_S = 0.005
_STOP_S = 10.0
_WORDS_BYTES = 500

log = structlog.get_logger()


def make_one_change_more(replica: Replica, installation: Installation, clock: Clock, stopping: threading.Event) -> None:
    """Have each database that the replica takes writes to be ahead of all who follow it.

    What it has has to be what counts: one that gave the master's role up would seem to be ahead of who has it now. It
    must not run, and has to be prepared anew afterwards. Blocks for some 150 ms where it takes writes. One that is
    full, or that does not start before somebody is `stopping` it, stays as it is: that is logged.

    Raises:
        ConfigInvalid: what it has are entries of another directory, slapd refuses its configuration, the entries are
            known to be damaged, or somebody else writes.
        OSError: its configuration can't be written.
    """
    own = [database for database in replica.databases if not database.provider and has_entries(database)]
    if not own:
        return
    alone = _for_itself(replica, own)
    prepare(alone, installation)
    try:
        with _running(alone, installation, clock, stopping) as directory:
            foreign = next((database for database in own if directory.read(database.base) is None), None)
            for database in own if foreign is None else ():
                _touch(directory, database)
    except Refused:  # the accounts are among the entries
        foreign = own[0]
    except (DirectoryUnavailable, ConfigInvalid) as error:
        foreign = None
        log.warning("directory master starts as it was", reason=str(error),
                    remedy="none, unless it was killed: then restart the servers of its shadows")  # fmt: skip
    if foreign is not None:
        wrong = f"its entries are not those of {foreign.base} with this secret"
        right = (
            "write suffix and secret_file as they were; `nightmail directory init` begins anew, and sets these aside"
        )
        raise ConfigInvalid(foreign.path, wrong, right)


def _for_itself(replica: Replica, own: Sequence[Database]) -> Replica:
    """The same replica with its `own` databases only, which follow nobody, and take writes.

    One that others send is left shut: slapd takes whoever follows nobody to have all there is, and notes that.
    """
    databases = tuple(msgspec.structs.replace(each, provider="", writers=()) for each in own)
    return msgspec.structs.replace(replica, databases=databases, is_gated=False)


@contextlib.contextmanager
def _running(
    replica: Replica, installation: Installation, clock: Clock, stopping: threading.Event
) -> Iterator[Directory]:
    """The replica as its writer uses it, where nobody else reaches it. Where it ends, its last words are the reason."""
    uri = manager_uri(replica)
    access = Access(name=account("writer", replica.suffix), password=replica.accounts.writer)
    with tempfile.TemporaryFile() as said:
        process = _start(command(replica, installation, [uri]), said)
        try:
            with _opened(process, uri, access, clock, stopping) as directory:
                yield directory
        except DirectoryUnavailable as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_AGAIN_S)
                raise DirectoryUnavailable(f"slapd ended: {_last_words(said) or error}") from error
            raise
        finally:
            _stop(process)


def _start(words: Sequence[str], said: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - the command is our own
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said
    )


def _last_words(said: IO[bytes]) -> str:
    said.seek(0, os.SEEK_END)
    said.seek(max(0, said.tell() - _WORDS_BYTES))
    return " ".join(said.read().decode(errors="replace").split())


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _opened(
    process: subprocess.Popen[bytes], uri: str, access: Access, clock: Clock, stopping: threading.Event
) -> Directory:
    """A session once it lets us in. Raises: DirectoryUnavailable: it ends, or does not in time; or Refused."""
    reason, until = DirectoryUnavailable(f"{uri}: it was not asked"), clock.elapsed() + _START_S
    while clock.elapsed() < until and not stopping.is_set():
        try:
            return Directory(uri, access)
        except Refused:
            raise
        except DirectoryUnavailable as error:
            reason = error
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_AGAIN_S)
            break
    raise reason


def _touch(directory: Directory, database: Database) -> None:
    """Write what is there already: it is a change with a number of its own."""
    name, value = database.base.partition(",")[0].split("=", 1)
    directory.modify(database.base, [(ldap.MOD_REPLACE, name, [value.encode()])])
