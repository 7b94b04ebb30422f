"""Real OpenLDAP servers for tests: a master, and shadows of it, on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from tests.e2e.switch import free_port
from tests.e2e.waiting import until

from nightmail.directory.accounts import Accounts, account, accounts_of, first_entries
from nightmail.directory.certificates import write_certificates
from nightmail.directory.ldif import ldif_of
from nightmail.directory.one_change_more import make_one_change_more
from nightmail.directory.parts import Part
from nightmail.directory.replica import Database, Replica
from nightmail.directory.sessions import Access, open_session
from nightmail.directory.slapd import command, find_installation, load, own_schema, prepare
from nightmail.directory.tree import Item
from nightmail.directory.writing import Directory
from nightmail.errors import DirectoryUnavailable
from nightmail.world import SystemClock

SUFFIX = "dc=example,dc=org"
SECRET = b"a secret of the tests, and of nothing else"
_MADE_UP = {"entryDN", "subschemaSubentry", "hasSubordinates"}


class Slapd:
    """One replica in `directory`, of the master `provider` or a master itself. As a context it runs.

    `prefix` are the words before its command, such as those that give it another network in which it is `host`;
    `environment` is what it finds in its own beside ours.
    """

    def __init__(
        self,
        directory: Path,
        number: int = 1,
        provider: str = "",
        *,
        host: str = "127.0.0.1",
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        room_bytes: int = 1 << 30,
    ) -> None:
        directory.mkdir(exist_ok=True)
        self._prefix = prefix
        self._said = directory / "said"
        self._environment = environment or {}
        self._installation = find_installation()
        self.uri = f"ldap://{host}:{free_port()}"
        self.replica = Replica(
            number=number,
            directory=str(directory),
            suffix=SUFFIX,
            uri=self.uri,
            databases=(
                Database(base=SUFFIX, path=f"{directory}/entries", provider=provider, writers=(1,) if provider else ()),
            ),
            accounts=accounts_of(SECRET),
            tls=write_certificates(str(directory), SECRET, f"mx{number}", host),
            schema=own_schema(),
            schema_directory=self._installation.schema_directory,
            module_directory=self._installation.module_directory,
            password_modules=self._installation.password_modules,
            room_bytes=room_bytes,
            uid=os.geteuid(),
            gid=os.getegid(),
        )
        self.process: subprocess.Popen[bytes] | None = None
        prepare(self.replica, self._installation)
        if not provider:
            first = ldif_of(first_entries(Part(SUFFIX), SUFFIX, self.replica.accounts))
            load(self.replica, self.database, self._installation, [first], "before", is_new=True)

    @property
    def database(self) -> Database:
        """Where it keeps its entries."""
        return self.replica.databases[0]

    def change(self, **settings: Any) -> None:
        """Have its database be another one in this."""
        changed = msgspec.structs.replace(self.database, **settings)
        self.replica = msgspec.structs.replace(self.replica, databases=(changed,))

    def access(self, name: str) -> Access:
        """How one gets in as one of the accounts."""
        password = getattr(self.replica.accounts, name)
        return Access(name=account(name, SUFFIX), password=password, authority=self.replica.tls.authority)

    def as_account(self, name: str) -> Directory:
        """The replica, as one of the accounts uses it."""
        return Directory(self.uri, self.access(name))

    def start(self, provider: str = "") -> None:
        """Start it, as a shadow of another master if one is given, and wait until it lets everybody in."""
        self.spawn(provider)
        until(self.is_up, f"{self.uri} lets us in")

    def spawn(self, provider: str = "") -> None:
        """Start it, and wait for nothing."""
        words = [*self._prefix, *self.prepared(provider)]
        environment = {**os.environ, **self._environment}
        with self._said.open("ab") as said:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=said, env=environment)

    def has_said(self, words: str) -> bool:
        """Whether slapd ever said this on standard error."""
        return words in self._said.read_text(errors="replace")

    def prepared(self, provider: str = "") -> list[str]:
        """Write its configuration, as a shadow of another master if one is given; the command that runs it."""
        replica = self.replica
        if provider:
            other = msgspec.structs.replace(self.database, provider=provider)
            replica = msgspec.structs.replace(replica, databases=(other, *replica.databases[1:]))
        make_one_change_more(replica, self._installation, SystemClock(), threading.Event())
        prepare(replica, self._installation)
        return command(replica, self._installation)

    def heard(self) -> list[str]:
        """As `prepared`, for somebody else to run it: what it says is heard by `has_said`."""
        words = [f"{name}={value}" for name, value in self._environment.items()]
        return ["sh", "-c", 'exec "$@" 2>>"$0"', str(self._said), "env", *words, *self.prepared()]

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

    def believe_itself(self) -> None:
        """Have a shadow not compare all that it has when it starts, as is usual."""
        self.change(writers=())

    def state(self) -> tuple[str, ...]:
        """How far it says that it is; nothing before it was filled."""
        with self.as_account("reader") as directory:
            [top] = directory.search(SUFFIX, "(objectClass=organization)", ["contextCSN"])
        return top.attributes.get("contextCSN", ())

    def dump(self) -> list[str]:
        """Everything that it has, as the lines of a backup."""
        with self.as_account("replicator") as directory:
            items = [*directory.search(SUFFIX, attributes=["*", "+"])]
        kept = ({k: v for k, v in item.attributes.items() if k not in _MADE_UP} for item in items)
        return ldif_of(Item(item.dn, each) for item, each in zip(items, kept, strict=True)).splitlines(keepends=True)

    def begin_anew(self, lines: Iterable[str]) -> None:
        """Stop, and start with these lines of a backup in place of what it has."""
        self.kill()
        self.load(lines)
        self.start()

    def load(self, lines: Iterable[str], *, is_new: bool = False) -> None:
        """Have this LDIF in place of what it has, records as a whole where it `is_new`; it must not run."""
        load(self.replica, self.database, self._installation, lines, f"before-{time.monotonic_ns()}", is_new=is_new)

    def stop_following(self) -> None:
        """Have a shadow take nothing more from its master, without knowing that it is behind."""
        until(lambda: bool(self.state()), f"{self.uri} has all of its master's entries")
        self.kill()
        self.start(provider="ldap://127.0.0.1:1")

    def freeze(self) -> None:
        """SIGSTOP, and wait until none of its threads runs on."""
        if self.process is None:
            raise RuntimeError(f"{self.uri} does not run")
        self.process.send_signal(signal.SIGSTOP)
        threads = Path(f"/proc/{self.process.pid}/task")
        until(
            lambda: all(") T " in (each / "stat").read_text() for each in threads.iterdir()), f"{self.uri} stands still"
        )

    def stop(self) -> None:
        """SIGTERM: unlike one that is killed it keeps the note of how far it is, which it writes after the entries."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

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
