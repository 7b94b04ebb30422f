"""A real directory of two sites for commands to work on: four replicas, without the servers that would run them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from tests.cli.conftest import Done, Run
from tests.directory.sites import DR, MAIN, Sites
from tests.directory.slapd_server import SUFFIX

from nightmail.directory.ldif import ldif_of
from nightmail.directory.tree import Item, item_of


class SiteRig:
    """All four, running, and commands on any of the servers."""

    def __init__(self, place: Path, sites: Sites, run: Run) -> None:
        self.place = place
        self.sites = sites
        self._run = run

    def nightmail(self, *words: str, on: str = "mx1") -> Done:
        """What `nightmail WORDS...` says on a server, without what the replicas say meanwhile."""
        done = self._run(*words, "--config", str(self.place / "nightmail.toml"), "--name", on)
        said = (each for each in done.err.splitlines(keepends=True) if each.startswith("nightmail: "))
        return done._replace(err="".join(said))

    def directory(self, *words: str, on: str = "mx1") -> Done:
        """What `nightmail directory WORDS...` says there."""
        return self.nightmail("directory", *words, on=on)

    def facts(self, *words: str) -> Any:
        """What it says as JSON."""
        return msgspec.json.decode(self.directory(*words, "--json").out)

    def text(self, text: str) -> str:
        """A file with this text."""
        path = self.place / "in.ldif"
        path.write_text(text)
        return str(path)

    def file(self, *items: Item) -> str:
        """A file with these entries."""
        return self.text(ldif_of(items))

    def tables(self, name: str = "tables", **tables: str) -> str:
        """A directory with these tables and no others."""
        path = self.place / name
        path.mkdir(exist_ok=True)
        for old in path.iterdir():
            old.unlink()
        for table, text in tables.items():
            (path / table).write_text(text)
        return str(path)

    def let_mx4_miss(self, item: Item) -> None:
        """Have an entry of the site main everywhere but on mx4, which runs and can't find that site's master."""
        self.sites.mx4.kill()
        self.directory("add", self.file(item))
        file = self.place / "nightmail.toml"
        text = file.read_text()
        file.write_text(text.replace(self.sites.mx1.uri.removeprefix("ldap://"), "127.0.0.1:1"))
        self.sites.mx4.start()
        file.write_text(text)

    def names(self, filter_text: str = "(|(nmDomain=*)(nmMatch=*)(uid=*))", on: int = 0) -> set[str]:
        """The names of the entries about mail that a replica has."""
        return self.sites.all[on].names(filter_text)


@contextmanager
def site_rig(place: Path, run: Run) -> Iterator[SiteRig]:
    """The replicas run as long as it is open, with sound entries of both sites."""
    with Sites(place).running() as sites:
        sites.mx1.write(*SOUND_MAIN)
        sites.mx3.write(*SOUND_DR)
        rig = SiteRig(place, sites, run)
        sites.until_everywhere(
            *(item.dn for item in (*SOUND_MAIN, *SOUND_DR)), filter_text="(|(nmDomain=*)(nmMatch=*)(uid=*))"
        )
        run("--version")  # what was printed until now is nobody's answer
        yield rig


def main(table: str, key: str, value: str = "") -> Item:
    """The entry of the site main that says what a line of a table does."""
    return item_of(table, key, value, MAIN.base)


def dr(table: str, key: str, value: str = "") -> Item:
    """The same of the site dr."""
    return item_of(table, key, value, DR.base)


def in_no_part(table: str, key: str, value: str = "") -> Item:
    """The same of no site."""
    return item_of(table, key, value, SUFFIX)


SOUND_MAIN = [
    main("domains", "main.org", "local"),
    main("routes", "main.org", "discard"),
    main("mailboxes", "alice@main.org"),
]
SOUND_DR = [
    dr("domains", "dr.org", "local"),
    dr("routes", "dr.org", "discard"),
    dr("mailboxes", "dora@dr.org"),
]
