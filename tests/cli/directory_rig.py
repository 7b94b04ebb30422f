"""A real directory for commands to work on: a master and its shadow, without the servers that would run them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from tests.cli.conftest import Done, Run
from tests.directory.slapd_server import SECRET, SUFFIX, Slapd

from nightmail.directory.ldif import ldif_of
from nightmail.directory.tree import Item, item_of

CONFIG = """\
[server]
name = "mx1"
hostname = "mx1.example.org"
run_directory = "run"
[servers.mx1]
heartbeat = "127.0.0.1:7001"
smtp = "127.0.0.1:7002"
directory = "{master}"
[servers.mx2]
heartbeat = "127.0.0.1:7003"
smtp = "127.0.0.1:7004"
directory = "{shadow}"
[heartbeat]
secret_file = "key"
[store]
url = "file:store"
[directory]
suffix = "{suffix}"
first_master = "mx1"
secret_file = "key"
data_directory = "data"
{further}
"""


class Rig:
    """Both replicas, running, and a configuration that names them."""

    def __init__(self, place: Path, master: Slapd, shadow: Slapd, run: Run) -> None:
        self.place = place
        self.master = master
        self.shadow = shadow
        self._run = run
        key = place / "key"
        key.write_bytes(SECRET)
        key.chmod(0o600)
        self.configure("")

    def configure(self, further: str) -> None:
        """Write the configuration, with `further` text at its end."""
        uris = (server.uri.removeprefix("ldap://") for server in (self.master, self.shadow))
        master, shadow = uris
        text = CONFIG.format(master=master, shadow=shadow, suffix=SUFFIX, further=further)
        (self.place / "nightmail.toml").write_text(text)

    def nightmail(self, *words: str) -> Done:
        """What `nightmail WORDS...` says, without what the replicas say meanwhile."""
        done = self._run(*words, "--config", str(self.place / "nightmail.toml"))
        said = (each for each in done.err.splitlines(keepends=True) if each.startswith("nightmail: "))
        return done._replace(err="".join(said))

    def directory(self, *words: str) -> Done:
        """What `nightmail directory WORDS...` says."""
        return self.nightmail("directory", *words)

    def facts(self, *words: str) -> Any:
        """What it says as JSON."""
        return msgspec.json.decode(self.directory(*words, "--json").out)

    def file(self, *items: Item) -> str:
        """A file with these entries."""
        return self.text(ldif_of(items))

    def text(self, text: str) -> str:
        """A file with this text."""
        path = self.place / "in.ldif"
        path.write_text(text)
        return str(path)

    def tables(self, **tables: str) -> str:
        """A directory with these tables and no others."""
        path = self.place / "tables"
        path.mkdir(exist_ok=True)
        for old in path.iterdir():
            old.unlink()
        for name, text in tables.items():
            (path / name).write_text(text)
        return str(path)

    def fill(self, items: Sequence[Item]) -> None:
        """Have the master have these entries, whatever they are."""
        with self.master.as_account("writer") as directory:
            directory.add(items)

    def names(self, filter_text: str = "(objectClass=*)") -> list[str]:
        """The names of the entries on the master that the filter matches."""
        with self.master.as_account("reader") as directory:
            return sorted(item.dn for item in directory.search(SUFFIX, filter_text))


def line(table: str, key: str, value: str = "") -> Item:
    """The entry that says what a line of a table does."""
    return item_of(table, key, value, SUFFIX)


SOUND = [
    line("domains", "example.org", "local"),
    line("routes", "example.org", "discard"),
    line("mailboxes", "alice@example.org"),
]


@contextmanager
def sound_directory(place: Path, run: Run) -> Iterator[Rig]:
    """A directory with what is `SOUND` in it."""
    with Slapd(place / "master") as master, Slapd(place / "shadow", 2, master.uri) as shadow:
        made = Rig(place, master, shadow, run)
        made.fill(SOUND)
        yield made
