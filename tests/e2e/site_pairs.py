"""Two pairs at two sites that are configured by one directory, each site with a store and a part of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.e2e.switch import Settings, Switch, free_port
from tests.e2e.waiting import until

SUFFIX = "dc=example,dc=org"
SITES = {"mx1": "main", "mx2": "main", "mx3": "dr", "mx4": "dr"}


class SitePairs:
    """mx1 and mx2 at main, mx3 and mx4 at dr, not yet running; mx1 and mx3 are the masters."""

    def __init__(self, directory: Path) -> None:
        self._secret = directory / "directory.key"
        self._secret.write_text(os.urandom(16).hex())
        self._secret.chmod(0o600)
        self._tables = directory / "tables"
        self.servers = {
            name: Switch(directory / name, {}, None, directory / site, name) for name, site in SITES.items()
        }
        self._places = {name: self._place(server) for name, server in self.servers.items()}
        for server in self.servers.values():
            self.configure(server, main="mx1", dr="mx3")

    def _place(self, server: Switch) -> dict[str, object]:
        return {
            "site": SITES[server.name],
            "heartbeat": f"127.0.0.1:{free_port()}",
            "smtp": f"127.0.0.1:{server.port}",
            "http": f"127.0.0.1:{server.http_port}",
            "directory": f"127.0.0.1:{free_port()}",
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
    def running(self) -> Iterator[None]:
        """All of them, each killed in the end."""
        with ExitStack() as stack:
            for server in self.servers.values():
                stack.push(server.__exit__)
                server.spawn()
            for server in self.servers.values():
                until(server.is_ready, f"{server.name} is ready", 30)
            yield

    def tables(self, site: str) -> str:
        """Tables for a site's part, in which alice is at SITE.example."""
        directory = self._tables / site
        directory.mkdir(parents=True, exist_ok=True)
        domain = f"{site}.example"
        (directory / "domains").write_text(f"{domain} local\n")
        (directory / "routes").write_text(f"{domain} discard\n")
        (directory / "mailboxes").write_text(f"alice@{domain}\n")
        return str(directory)

    def run(self, name: str, *words: str) -> str:
        """What `nightmail directory` says on a server."""
        done = self.servers[name].nightmail("directory", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout
