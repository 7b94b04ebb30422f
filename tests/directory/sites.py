"""Four real replicas of a directory with two sites, main and dr: two at each, the first of them its master."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec
from tests.directory.slapd_server import SECRET, SUFFIX, Slapd
from tests.e2e.waiting import until
from tests.faults.network import Network

from nightmail.admin.filling import make_ready
from nightmail.admin.own_replica import replica_of
from nightmail.config.loading import load as load_config
from nightmail.config.settings import Config
from nightmail.directory.accounts import first_entries
from nightmail.directory.ldif import ldif_of
from nightmail.directory.parts import parts_of
from nightmail.directory.replica import Database
from nightmail.directory.slapd import find_installation, load
from nightmail.directory.tree import Item, item_of
from nightmail.world import SystemClock

DR, MAIN = PARTS = parts_of(SUFFIX, ("main", "dr"))
SERVERS = {"mx1": "main", "mx2": "main", "mx3": "dr", "mx4": "dr"}
CLUSTER = """\
[server]
hostname = "mx.example.org"
run_directory = "run-{name}"
[heartbeat]
secret_file = "key"
[store]
url = "file:store"
[directory]
suffix = "{suffix}"
{masters}
secret_file = "key"
data_directory = "{name}"
"""
SERVER = """\
[servers.{name}]
site = "{site}"
heartbeat = "127.0.0.1:{heartbeat}"
smtp = "127.0.0.1:{smtp}"
directory = "{address}"
"""


class SiteSlapd(Slapd):
    """One of them, not running, without entries."""

    def __init__(self, place: Path, name: str, host: str, prefix: Sequence[str]) -> None:
        number = 1 + [*SERVERS].index(name)
        super().__init__(place / name, number, "ldap://127.0.0.1:1", host=host, prefix=prefix)
        self.name = name
        self.config_file = str(place / "nightmail.toml")
        self.deaf_to = ""
        """The site of whose part it takes nothing, from its next start on."""

    @property
    def config(self) -> Config:
        """What is configured now."""
        return load_config(self.config_file, self.name)

    def configure(self) -> None:
        """Be what the configuration says now."""
        self.replica = replica_of(self.config, find_installation())
        databases = (
            msgspec.structs.replace(each, provider="ldap://127.0.0.1:1")
            if self.deaf_to and each is self.of(self.deaf_to)
            else each
            for each in self.replica.databases
        )
        self.replica = msgspec.structs.replace(self.replica, databases=tuple(databases))

    def prepared(self, provider: str = "") -> list[str]:
        """As its supervisor has it."""
        self.configure()
        make_ready(self.config, self.replica, find_installation(), SystemClock(), threading.Event())
        return super().prepared(provider)

    def of(self, site: str) -> Database:
        """Its database for a site."""
        return next(database for database in self.replica.databases if database.path.endswith(f"-{site}"))

    def begin(self, site: str, *items: Item) -> None:
        """Begin the part of a site, or the whole if there is none, with these entries."""
        self.configure()
        config = self.config
        part, database = next(
            each for each in zip(config.parts, self.replica.databases, strict=True) if each[0].site == site
        )
        entries = [*first_entries(part, SUFFIX, self.replica.accounts), *items]
        pieces = (ldif_of([item]) for item in entries)
        load(self.replica, database, find_installation(), pieces, "before", is_new=True)

    def names(self, filter_text: str = "(uid=*)") -> set[str]:
        """The names of people, or of other entries, that one sees here in the whole directory."""
        with self.as_account("reader") as directory:
            return {item.dn for item in directory.search(SUFFIX, filter_text)}

    def write(self, *items: Item) -> None:
        """Add entries here."""
        with self.as_account("writer") as directory:
            directory.add(items)

    def erase(self, *names: str) -> None:
        """Delete entries here."""
        with self.as_account("writer") as directory:
            directory.delete(names)


class Sites:
    """All of them; mx1 and mx2 are at main, mx3 and mx4 at dr, each site in a network of its own if one is given."""

    def __init__(self, place: Path, *, begun: bool = True, network: Network | None = None) -> None:
        key = place / "key"
        key.write_bytes(SECRET)
        key.chmod(0o600)
        self.place = place
        hosts = {site: network.address(site) if network else "127.0.0.1" for site in SERVERS.values()}
        prefixes = {site: network.command(site) if network else () for site in SERVERS.values()}
        self.all = [SiteSlapd(place, name, hosts[site], prefixes[site]) for name, site in SERVERS.items()]
        self.mx1, self.mx2, self.mx3, self.mx4 = self.all
        self.obey(main="mx1", dr="mx3")
        if begun:
            self.mx1.begin("main")
            self.mx3.begin("dr")

    def obey(self, **masters: str) -> None:
        """Have each be what these masters of the sites make of it, at its next start."""
        written = ", ".join(f'{site} = "{name}"' for site, name in masters.items())
        self._configure(f'topology = "multi-site"\nmasters = {{{written}}}')

    def obey_one(self, master: str) -> None:
        """Have one master of the whole, which has no parts."""
        self._configure(f'first_master = "{master}"')

    def _configure(self, masters: str) -> None:
        text = CLUSTER.format(name="{name}", suffix=SUFFIX, masters=masters)
        for number, each in enumerate(self.all):
            text += SERVER.format(
                name=each.name, site=SERVERS[each.name], heartbeat=7001 + number, smtp=7101 + number,
                address=each.uri.removeprefix("ldap://"),
            )  # fmt: skip
        Path(self.all[0].config_file).write_text(text)

    @contextlib.contextmanager
    def running(self) -> Iterator[Sites]:
        """All of them, running, with both parts begun everywhere."""
        with contextlib.ExitStack() as stack:
            threads = stack.enter_context(ThreadPoolExecutor(2))  # slapd dies with the thread that started it
            for each in self.all:
                stack.push(each.__exit__)
            for together in ((self.mx1, self.mx3), (self.mx2, self.mx4)):
                [*threads.map(SiteSlapd.start, together)]
            self.until_everywhere(*(part.base for part in PARTS), filter_text="(objectClass=nmMailSite)")
            yield self

    def until_everywhere(self, *names: str, filter_text: str = "(uid=*)") -> None:
        """Wait until each that runs has exactly these."""
        wanted = set(names)
        for each in self.all:
            if each.process is not None:
                until(partial(_has, each, wanted, filter_text), f"{each.uri} has {sorted(wanted)}")


def _has(each: SiteSlapd, wanted: set[str], filter_text: str) -> bool:
    return each.names(filter_text) == wanted


def person(site: str, number: int = 1) -> Item:
    """Somebody in a site's part."""
    base = next(part.base for part in PARTS if part.site == site)
    return item_of("mailboxes", f"user{number}@{site}.example.org", "", base)
