"""Real OpenLDAP servers for tests: a master, and shadows of it, on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from tests.e2e.switch import free_port
from tests.e2e.waiting import until

from nightmail.directory.accounts import Accounts, account, accounts_of, first_entries
from nightmail.directory.certificates import write_certificates
from nightmail.directory.ldif import ldif_of
from nightmail.directory.replica import Replica
from nightmail.directory.sessions import Access, open_session
from nightmail.directory.slapd import command, find_installation, load, own_schema, prepare
from nightmail.directory.writing import Directory
from nightmail.errors import DirectoryUnavailable

SUFFIX = "dc=example,dc=org"
SECRET = b"a secret of the tests, and of nothing else"


class Slapd:
    """One replica in `directory`, of the master `provider` or a master itself. As a context it runs."""

    def __init__(self, directory: Path, number: int = 1, provider: str = "") -> None:
        directory.mkdir()
        self._installation = find_installation()
        self.uri = f"ldap://127.0.0.1:{free_port()}"
        self.replica = Replica(
            number=number,
            directory=str(directory),
            suffix=SUFFIX,
            uri=self.uri,
            provider=provider,
            accounts=accounts_of(SECRET),
            tls=write_certificates(str(directory), SECRET, f"mx{number}", "127.0.0.1"),
            schema=own_schema(),
            schema_directory=self._installation.schema_directory,
            module_directory=self._installation.module_directory,
            room_bytes=1 << 30,
            uid=os.geteuid(),
            gid=os.getegid(),
        )
        self.process: subprocess.Popen[bytes] | None = None
        prepare(self.replica, self._installation)
        if not provider:
            first = ldif_of(first_entries(SUFFIX, self.replica.accounts))
            load(self.replica, self._installation, [first], "before", is_new=True)

    def access(self, name: str) -> Access:
        """How one gets in as one of the accounts."""
        password = getattr(self.replica.accounts, name)
        return Access(name=account(name, SUFFIX), password=password, authority=self.replica.tls.authority)

    def as_account(self, name: str) -> Directory:
        """The replica, as one of the accounts uses it."""
        return Directory(self.uri, self.access(name))

    def start(self, provider: str = "") -> None:
        """Start it, as a shadow of another master if one is given, and wait until it lets everybody in."""
        replica = msgspec.structs.replace(self.replica, provider=provider or self.replica.provider)
        prepare(replica, self._installation)
        self.process = subprocess.Popen(command(self.replica, self._installation), stdin=subprocess.DEVNULL)
        until(self.is_up, f"{self.uri} lets us in", 10)

    def is_up(self) -> bool:
        """Whether everybody gets in; a shadow knows nobody before it has any content."""
        try:
            for name in Accounts.__struct_fields__:
                open_session(self.uri, self.access(name)).unbind_s()
        except DirectoryUnavailable:
            return False
        return True

    def has(self, name: str) -> bool:
        """Whether it has an entry of this name."""
        with self.as_account("reader") as directory:
            return any(item.dn == name for item in directory.search(name))

    def knows_how_far_it_is(self) -> bool:
        """Whether a shadow has noted that it has all that there was: without that it has nothing after a restart."""
        with self.as_account("reader") as directory:
            return any(item.attributes for item in directory.search(SUFFIX, attributes=["contextCSN"]))

    def stop_following(self) -> None:
        """Have a shadow take nothing more from its master, without knowing that it is behind."""
        until(self.knows_how_far_it_is, f"{self.uri} has all of its master's entries")
        self.kill()
        self.start(provider="ldap://127.0.0.1:1")

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()
