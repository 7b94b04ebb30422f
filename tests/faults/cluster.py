"""Several servers on one store, each under a load of its own, and the audit of them all."""

from __future__ import annotations

import contextlib
import os
import random
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.sink import Sink
from tests.e2e.switch import Settings, Switch, free_port
from tests.e2e.waiting import until
from tests.faults.haproxy import HAProxy
from tests.faults.ledger import Ledger, audit
from tests.faults.load import Fate, Load
from tests.faults.siege import QUICK_RETRIES, tables


class Cluster:
    """Servers mx1, mx2, ... that protect one another, a sink behind them, and a load on each; `seed` decides chance.

    `balanced` puts HAProxy in front of them, and one load on that.
    """

    def __init__(
        self, directory: Path, seed: int, *, servers: int = 2, settings: Settings | None = None, balanced: bool = False
    ) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.sink = Sink()
        self.names = [f"mx{number + 1}" for number in range(servers)]
        self._directory = directory
        self._balanced = balanced
        self.balancer: HAProxy | None = None
        self.servers: dict[str, Switch] = {}
        self.loads: dict[str, Load] = {}
        self._settings: dict[str, Any] = {**QUICK_RETRIES, **(settings or {})}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def _start(self) -> None:
        self.sink.__enter__()
        disk = self._directory / "shared"
        secret = self._directory / "heartbeat.key"
        secret.write_bytes(os.urandom(16).hex().encode())
        secret.chmod(0o600)
        self.servers = {
            name: Switch(self._directory / name, tables(self.sink.port), None, disk, name) for name in self.names
        }
        settings = {**self._settings, "heartbeat": {"secret_file": str(secret)}}
        for name, server in self.servers.items():
            settings[f"servers.{name}"] = {
                "heartbeat": f"127.0.0.1:{free_port()}",
                "smtp": f"127.0.0.1:{server.port}",
                "http": f"127.0.0.1:{server.http_port}",
            }
        if self._balanced:
            self.balancer = HAProxy(self._directory)
            settings["balancer"] = self.balancer.settings
            settings["[[listener]]"] = {"proxy_from": ["127.0.0.1/32"]}
        for server in self.servers.values():
            server.configure(settings)
        for server in self.servers.values():
            server.spawn()
        for server in self.servers.values():
            until(server.is_ready, f"{server.name} is ready", 20)
        if self.balancer is not None:
            self.balancer.start(self.servers["mx1"])
            self.loads = {"balancer": Load(self.balancer.port, self.seed, name="b").__enter__()}
        else:
            self.loads = {
                name: Load(server.port, self.seed + index, name=name).__enter__()
                for index, (name, server) in enumerate(self.servers.items())
            }

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for load in self.loads.values():
            load.__exit__(None, None, None)
        if self.balancer is not None:
            self.balancer.kill()
        for server in self.servers.values():
            server.__exit__(kind, error, tb)
        self.sink.__exit__(None, None, None)
        if error is not None:
            error.add_note(f"seed {self.seed}")

    def acknowledged(self, name: str) -> int:
        """How many messages the load on one server had acknowledged so far."""
        return self.loads[name].count(Fate.ACKNOWLEDGED)

    def under_way(self, name: str) -> None:
        """Wait until mail is being acknowledged by a server, and a random moment longer."""
        seen = self.acknowledged(name)
        until(lambda: self.acknowledged(name) > seen + 20, f"{name} acknowledges mail", 30)
        time.sleep(self.random.random())  # not to wait for anything: whatever strikes next strikes at any instant

    def wait_for_adoption(self, by: str, of: str, timeout_s: float = 20.0) -> None:
        """Wait until a server says that it adopted the newest queue of another."""
        newest = self._newest(of)
        self.servers[by].wait_for_log("queue adopted", rf"queue={newest}\b", timeout_s=timeout_s)

    def _newest(self, of: str) -> str:
        opened = self.servers[of].logged('event="queue opened"')
        return opened[-1].rpartition("queue=")[2].split()[0]

    def settle(self, title: str, timeout_s: float = 90.0) -> Ledger:
        """End the loads, wait until all queues are empty, and audit. Every server has to run.

        A queue that was lost is in nobody's list until it is adopted: what is missing may come until the time is over.
        """
        for load in self.loads.values():
            load.finish()
        for server in self.servers.values():
            until(server.is_drained, f"the queues of {server.name} are empty", timeout_s, 0.2)
        with contextlib.suppress(AssertionError):  # the ledger says what is lost
            until(lambda: not self.audit(title).lost, "what is missing", timeout_s, 0.5)
        return self.audit(title)

    def audit(self, title: str) -> Ledger:
        """Hold the loads' books against what arrived and what is queued anywhere."""
        waiting = [row for server in self.servers.values() for row in server.facts("queue", "list")["messages"]]
        first = next(iter(self.servers.values()))
        return audit(
            title,
            book=[sent for load in self.loads.values() for sent in load.book],
            received=list(self.sink.received),
            mailbox=[file.read_bytes() for file in first.maildir("box")],
            queued_ids={message["id"] for message in waiting},
            log="\n".join(server.log() for server in self.servers.values()),
        )
