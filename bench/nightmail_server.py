"""nightmail as the relay under measurement: the configuration a postmaster would write, with its log in a file."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.contender import Contender
from bench.processes import BenchFailed, free_port, running, tail, wait_until

COMMAND = str(Path(sys.executable).parent / "nightmail")
# The breaker's and the retries' times are those of the settings' defaults unless a measurement says otherwise; the
# limit of sessions per client is lifted because the whole load comes from one address.
_CONFIG = """\
[server]
name = "mx1"
hostname = "bench.test"
workers = {workers}
run_directory = "run"
[servers.mx1]
heartbeat = "127.0.0.1:{heartbeat_port}"
smtp = "127.0.0.1:{port}"
http = "127.0.0.1:{http_port}"
[store]
url = "file://{home}/store"
[[listener]]
address = "127.0.0.1:{port}"
[smtp]
client_session_limit = 1000
message_size_limit_bytes = 209715200
[queue]
destination_connections = 50
retry_first_s = {retry_first_s}
retry_max_s = 7200
"""
_TABLES = {
    "domains": "sink.test relay\n",
    "routes": "sink.test smtp:[127.0.0.1]:{sink_port}\n",
    "clients": "127.0.0.0/8 relay\n",
}


class Server:
    """One nightmail in a directory of its own, started as often as a measurement needs it."""

    def __init__(
        self, directory: Path, sink_port: int, *, workers: int = 1, retry_first_s: int = 300, command: str = COMMAND
    ) -> None:
        self.home = directory / "nightmail"
        self.workers = workers
        self._command = command
        self.port, self.http_port = free_port(), free_port()
        self.log = self.home / "nightmail.log"
        self.config = self.home / "nightmail.toml"
        (self.home / "tables").mkdir(parents=True)
        (self.home / "store").mkdir()
        for name, text in _TABLES.items():
            (self.home / "tables" / name).write_text(text.format(sink_port=sink_port))
        fields = {"home": self.home, "port": self.port, "http_port": self.http_port, "workers": workers}
        fields |= {"heartbeat_port": free_port(), "retry_first_s": retry_first_s}
        self.config.write_text(_CONFIG.format(**fields))

    @property
    def name(self) -> str:
        """As the tables call it."""
        return "nightmail" if self.workers == 1 else f"nightmail, {self.workers} switches"

    @contextlib.contextmanager
    def serving(self) -> Iterator[Contender]:
        """The running server, ready for mail; it is ended with SIGTERM."""
        with self.spawned() as process:
            self.wait_ready(process)
            yield Contender(self.name, self.port, process.pid, self.log)

    @contextlib.contextmanager
    def spawned(self) -> Iterator[subprocess.Popen[bytes]]:
        """The server's process, perhaps not yet ready."""
        with running([self._command, "serve", "--config", str(self.config)], self.log, stop_s=30) as process:
            yield process

    def wait_ready(self, process: subprocess.Popen[bytes], timeout_s: float = 30) -> float:
        """Seconds until /ready said yes. Raises: BenchFailed with the end of the log."""
        try:
            return wait_until(lambda: process.poll() is not None or self._is_ready(), "nightmail is ready", timeout_s)
        except BenchFailed as error:
            raise BenchFailed(f"{error}\n{tail(self.log)}") from error
        finally:
            if process.poll() is not None:
                raise BenchFailed(f"nightmail ended at its start:\n{tail(self.log)}")

    def _is_ready(self) -> bool:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/ready", timeout=2) as answer,
        ):
            return bool(answer.status == 200)
        return False

    def facts(self, *words: str) -> Any:
        """What one of nightmail's commands prints as JSON."""
        return json.loads(self.run(*words, "--json"))

    def run(self, *words: str) -> str:
        """Run one of nightmail's commands; its output. Raises: BenchFailed."""
        command = [self._command, *words, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise BenchFailed(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def queued(self) -> int:
        """Messages in its queues."""
        return sum(queue["messages"] for queue in self.facts("status")["queues"])
