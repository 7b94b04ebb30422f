"""A real HAProxy, configured by `nightmail balancer haproxy`."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from tests.e2e.switch import Switch, free_port
from tests.e2e.waiting import until


class HAProxy:
    """The balancer in front of a cluster under test."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.log = directory / "haproxy.log"
        self._file = directory / "haproxy.cfg"
        self._socket = directory / "haproxy.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> dict[str, object]:
        """What `[balancer]` says of it."""
        return {"address": f"127.0.0.1:{self.port}", "runtime_socket": str(self._socket)}

    def start(self, server: Switch, timeout_s: float = 20.0) -> None:
        """Start it, and wait until it takes every server for ready."""
        done = server.nightmail("balancer", "haproxy")
        assert done.returncode == 0, done.stderr
        self._file.write_text(done.stdout)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(["haproxy", "-db", "-f", str(self._file)], stdout=log, stderr=log)
        until(lambda: self.states() and set(self.states().values()) == {"UP"}, "every server is up", timeout_s)

    def states(self) -> dict[str, str]:
        """What it thinks of each server."""
        rows = [row.split(",") for row in self._ask("show stat").splitlines() if row.startswith("switches,mx")]
        return {row[1]: row[17] for row in rows}

    def sessions(self) -> dict[str, int]:
        """How many connections each server was given in all."""
        rows = [row.split(",") for row in self._ask("show stat").splitlines() if row.startswith("switches,mx")]
        return {row[1]: int(row[7]) for row in rows}

    def _ask(self, command: str) -> str:
        answer = b""
        try:
            with socket.socket(socket.AF_UNIX) as channel:
                channel.settimeout(5)
                channel.connect(str(self._socket))
                channel.sendall(command.encode() + b"\n")
                while piece := channel.recv(65536):
                    answer += piece
        except OSError:
            return ""
        return answer.decode()

    def kill(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
