"""Two pairs at two sites that are configured by one directory, each site with a store and a part of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.e2e.switch import Settings, Switch, free_port
from tests.e2e.waiting import until
from tests.faults.network import Network

SUFFIX = "dc=example,dc=org"
SITES = {"mx1": "main", "mx2": "main", "mx3": "dr", "mx4": "dr"}


class SitePairs:
    """mx1 and mx2 at main, mx3 and mx4 at dr, not yet running; mx1 and mx3 are the masters.

    With a `network` whose servers are the sites, each site is in its own there.
    """

    def __init__(self, directory: Path, network: Network | None = None) -> None:
        self._secret = directory / "directory.key"
        self._secret.write_text(os.urandom(16).hex())
        self._secret.chmod(0o600)
        self._tables = directory / "tables"
        self.servers = {
            name: Switch(
                directory / name, {}, None, directory / site, name,
                host=network.address(site) if network else "127.0.0.1", prefix=network.command(site) if network else (),
            )
            for name, site in SITES.items()
        }  # fmt: skip
        self._places = {name: self._place(server) for name, server in self.servers.items()}
        for server in self.servers.values():
            self.configure(server, main="mx1", dr="mx3")

    def _place(self, server: Switch) -> dict[str, object]:
        return {
            "site": SITES[server.name],
            "heartbeat": f"{server.host}:{free_port()}",
            "smtp": f"{server.host}:{server.port}",
            "http": f"{server.host}:{server.http_port}",
            "directory": f"{server.host}:{free_port()}",
        }

    def configure(self, server: Switch, **masters: str) -> None:
        """Write a server's file anew, with these masters of the sites."""
        settings: Settings = {
            "heartbeat": {"secret_file": str(self._secret)},
            "directory": {
                "topology": "multi-site",
                "suffix": SUFFIX,
                "secret_file": str(self._secret),
                "data_directory": "data",
            },
            "directory.masters": masters,
            **{f"servers.{name}": place for name, place in self._places.items()},
        }
        server.configure(settings)

    @contextmanager
    def running(self, *names: str) -> Iterator[None]:
        """Those that are named, or all of them, each killed in the end."""
        chosen = [self.servers[name] for name in names or self.servers]
        with ExitStack() as stack:
            for server in chosen:
                stack.push(server.__exit__)
                server.spawn()
            for server in chosen:
                until(server.is_ready, f"{server.name} is ready")
            yield

    def tables(self, site: str) -> str:
        """Tables for a site's part, in which alice is at SITE.example; her mail is at `mail_of`."""
        directory = self._tables / site
        directory.mkdir(parents=True, exist_ok=True)
        domain = f"{site}.example"
        (directory / "domains").write_text(f"{domain} local\n")
        (directory / "routes").write_text(f"{domain} maildir:{self.mail_of(site)}/{{local_part}}\n")
        (directory / "mailboxes").write_text(f"alice@{domain}\n")
        return str(directory)

    def mail_of(self, site: str) -> Path:
        """Where the Maildirs of a site's people are, whichever server delivers."""
        return next(self.servers[name].mail for name, where in SITES.items() if where == site)

    def run(self, name: str, *words: str) -> str:
        """What `nightmail directory` says on a server."""
        done = self.servers[name].nightmail("directory", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout
