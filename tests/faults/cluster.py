"""Several servers on one store, each under a load of its own, and the audit of them all."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.sink import Sink
from tests.e2e.switch import Settings, Switch, free_port
from tests.e2e.waiting import until
from tests.faults.haproxy import HAProxy
from tests.faults.ledger import Ledger, audit
from tests.faults.load import Fate, Load
from tests.faults.network import Network
from tests.faults.siege import QUICK_RETRIES, tables

from nightmail.journal.keys import log_prefix, slot_key
from nightmail.journal.segment import CLOSES, decode_header

QUICK_TICKS: Settings = {"store": {"idle_tick_s": 1.0}}
"""A server that had nothing to deliver when it died promised 10 s else, which nobody's mail waits for, but a test."""

LIGHT = {"pause_s": 0.1}
"""A load that leaves a machine time to start servers."""


class Cluster:
    """Servers mx1, mx2, ... that protect one another, a sink behind them, and a load on each; `seed` decides chance.

    `balanced` puts HAProxy in front of them, and one load on that. A server may reach the shared disk in a place of its
    own (`disks`), have a `network` to itself, and find something in its `environment`. `load` are arguments of `Load`.
    `kills` counts what was struck.
    """

    def __init__(
        self,
        directory: Path,
        seed: int,
        *,
        servers: int = 2,
        settings: Settings | None = None,
        balanced: bool = False,
        disks: Mapping[str, Path] | None = None,
        network: Network | None = None,
        environment: Mapping[str, Mapping[str, str]] | None = None,
        load: Mapping[str, Any] | None = None,
    ) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.sink = Sink(host=network.host if network is not None else "127.0.0.1")
        self.names = [f"mx{number + 1}" for number in range(servers)]
        self.kills = 0
        self._directory = directory
        self._disk = directory / "shared"
        self._store = self._disk / "store"
        self._disks = disks or {}
        self._network = network
        self._environment = environment or {}
        self._load: dict[str, Any] = dict(load or {})
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
        secret = self._directory / "heartbeat.key"
        secret.write_bytes(os.urandom(16).hex().encode())
        secret.chmod(0o600)
        self.servers = {name: self._server(name) for name in self.names}
        settings = {**self._settings, "heartbeat": {"secret_file": str(secret)}}
        for name, server in self.servers.items():
            heartbeat = self._network.heartbeat(name) if self._network is not None else "127.0.0.1"
            settings[f"servers.{name}"] = {
                "heartbeat": f"{heartbeat}:{free_port()}",
                "smtp": f"{server.host}:{server.port}",
                "http": f"{server.host}:{server.http_port}",
            }
        if self._balanced:
            self.balancer = HAProxy(self._directory)
            settings["balancer"] = self.balancer.settings
            settings["[[listener]]"] = {"proxy_from": [f"{self.sink.host}/32"]}
        self.settings(settings)
        for server in self.servers.values():
            server.configure(settings)
        self.before_start()
        for server in self.servers.values():
            server.spawn()
        for server in self.servers.values():
            until(server.is_ready, f"{server.name} is ready", 20)
        self.before_load()
        if self.balancer is not None:
            self.balancer.start(self.servers["mx1"])
            self.loads = {"balancer": Load(self.balancer.port, self.seed, name="b", **self._load).__enter__()}
        else:
            self.loads = {
                name: Load(server.port, self.seed + index, name=name, host=server.host, **self._load).__enter__()
                for index, (name, server) in enumerate(self.servers.items())
            }

    def settings(self, settings: dict[str, Any]) -> None:
        """Add to the settings of all servers."""

    def before_start(self) -> None:
        """Do what servers need that are about to start for the first time."""

    def before_load(self) -> None:
        """Do what has to be done before mail comes."""

    def _server(self, name: str) -> Switch:
        network = self._network
        return Switch(
            self._directory / name,
            tables(self.sink.port, self.sink.host),
            None,
            self._disks.get(name, self._disk),
            name,
            host=network.address(name) if network is not None else "127.0.0.1",
            prefix=network.command(name) if network is not None else (),
            environment=self._environment.get(name),
        )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is not None:
            error.add_note(f"seed {self.seed}")
        with contextlib.ExitStack() as ending:  # whatever fails to end, the others are ended all the same
            ending.callback(self.sink.__exit__, None, None, None)
            for server in self.servers.values():
                ending.callback(server.__exit__, kind, error, tb)
            if self.balancer is not None:
                ending.callback(self.balancer.kill)
            for load in self.loads.values():
                ending.callback(load.__exit__, None, None, None)

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
        self.servers[by].wait_for_log("queue adopted", rf"queue={self.newest(of)}\b", timeout_s=timeout_s)

    def newest(self, of: str, switch: int = 0) -> str:
        """The queue that a server's switch opened last."""
        opened = self.servers[of].logged('event="queue opened"', rf"queue={of}\.{switch}\.")
        return opened[-1].rpartition("queue=")[2].split()[0]

    def adoptions(self, since: Mapping[str, int] | None = None) -> list[tuple[str, str]]:
        """Which server adopted which queue, and in this order at each of them; since `marks`, or ever."""
        return [
            (name, line.rpartition("queue=")[2].split()[0])
            for name, server in self.servers.items()
            for line in server.logged('event="queue adopted"', since=(since or {}).get(name, 0))
        ]

    def tail(self, queue: str) -> Path:
        """The last segment of a queue."""
        return max((self._store / log_prefix(queue)).glob("[0-9]*"))

    def next_slot(self, queue: str) -> Path:
        """Where the next segment of a queue will lie."""
        return self._store / slot_key(queue, int(self.tail(queue).name) + 1)

    def is_closed(self, queue: str) -> bool:
        """Whether a queue came to its end."""
        tail = self.tail(queue)
        return bool(decode_header(str(tail), tail.read_bytes()).flags & CLOSES)

    def marks(self) -> dict[str, int]:
        """This moment in every server's log."""
        return {name: server.log_size() for name, server in self.servers.items()}

    def delivered_by(self, name: str) -> int:
        """How many messages the sink was given by a server."""
        return sum(message.helo == f"{name}.example.net" for message in list(self.sink.received))

    def kill(self, *names: str) -> None:
        """kill -9 of servers, one right after the other; they are counted."""
        for name in names:
            self.kills += 1
            self.servers[name].kill()

    def kill_switch(self, name: str, switch: int) -> None:
        """kill -9 of one switch of a server; it is counted."""
        server = self.servers[name]
        until(lambda: switch in server.switch_pids(), f"switch {switch} of {name}", 20)
        self.kills += 1
        os.kill(server.switch_pids()[switch], signal.SIGKILL)

    def start(self, *names: str, timeout_s: float = 30.0) -> None:
        """Start servers at once, and wait until each is ready, for the balancer too."""
        for name in names:
            self.servers[name].spawn()
        for name in names:
            until(self.servers[name].is_ready, f"{name} is ready", timeout_s)
        balancer = self.balancer
        if balancer is not None:
            until(lambda: all(balancer.states()[name] == "UP" for name in names), f"{names} are up again", timeout_s)

    def assert_nobody_died(self, since: Mapping[str, int] | None = None) -> None:
        """Every supervisor runs, and none saw a process of its own die."""
        for name, server in self.servers.items():
            assert server.running().poll() is None, f"{name} ended"
            died = server.logged("switch died|cluster work failed", since=(since or {}).get(name, 0))
            assert not died, f"{name}: {died}"

    def settle(self, title: str, timeout_s: float = 90.0) -> Ledger:
        """End the loads, wait until all queues are empty, and audit. Every server has to run.

        A queue that was lost is in nobody's list until it is adopted: what is missing may come until the time is over.
        """
        for load in self.loads.values():
            load.finish()
        for server in self.servers.values():
            until(server.is_drained, f"the queues of {server.name} are empty", timeout_s, 0.2)
        ledgers: list[Ledger] = []

        def is_complete() -> bool:
            ledgers[:] = [self.audit(title)]
            return not ledgers[0].lost

        with contextlib.suppress(AssertionError):  # the ledger says what is lost
            until(is_complete, "what is missing", timeout_s, 0.5)
        return ledgers[0]

    def audit(self, title: str) -> Ledger:
        """Hold the loads' books against what arrived and what is queued anywhere."""
        holding = [server for server in self.servers.values() if any(q.messages for q in server.status().queues)]
        waiting = [row for server in holding for row in server.facts("queue", "list")["messages"]]
        first = next(iter(self.servers.values()))
        return audit(
            title,
            book=[sent for load in self.loads.values() for sent in load.book],
            received=list(self.sink.received),
            mailbox=[file.read_bytes() for file in first.maildir("box")],
            queued_ids={message["id"] for message in waiting},
            log="\n".join(server.log() for server in self.servers.values()),
            kills=self.kills,
        )
