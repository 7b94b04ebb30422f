"""A pair that is configured by a directory, with a replica on each server, and what one asks of it."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.nightmail_server import COMMAND
from bench.processes import BenchFailed, free_port, running, tail, wait_until
from nightmail.config.loading import load
from nightmail.config.settings import Config
from nightmail.directory.certificates import write_authority

NAMES = ("mx1", "mx2")
SUFFIX = "dc=example,dc=org"
DOMAIN = "people.example"
_CONFIG = """\
[server]
hostname = "{{name}}.example.org"
run_directory = "{home}/{{name}}"
{servers}
[heartbeat]
secret_file = "{home}/key"
[store]
url = "file://{home}/store"
lease_s = 1.0
[smtp]
error_limit = 1000000
recipient_limit = 1000000
[directory]
topology = "{topology}"
suffix = "{suffix}"
first_master = "mx1"
secret_file = "{home}/key"
data_directory = "{home}/{{name}}/directory"
"""
_SERVER = """\
[servers.{name}]
heartbeat = "127.0.0.1:{heartbeat}"
smtp = "127.0.0.1:{smtp}"
http = "127.0.0.1:{http}"
directory = "127.0.0.1:{directory}"
"""


class Pair:
    """Two servers with a replica each, in a directory of their own."""

    def __init__(self, place: Path, topology: str = "single-master") -> None:
        self.place = place
        place.mkdir(exist_ok=True)
        self.authority = str(place / "authority.pem")
        (place / "store").mkdir()
        key = place / "key"
        key.write_text(os.urandom(16).hex())
        key.chmod(0o600)
        ports = [{kind: free_port() for kind in ("heartbeat", "smtp", "http", "directory")} for _ in NAMES]
        servers = "".join(_SERVER.format(name=name, **each) for name, each in zip(NAMES, ports, strict=True))
        self.file = place / "nightmail.toml"
        self.file.write_text(_CONFIG.format(home=place, servers=servers, suffix=SUFFIX, topology=topology))
        write_authority(self.authority, key.read_bytes().strip())
        self.ports = {name: each["smtp"] for name, each in zip(NAMES, ports, strict=True)}

    def config(self, name: str = "mx1") -> Config:
        """The configuration of one of them."""
        return load(str(self.file), name)

    def run(self, *words: str, name: str = "mx1") -> None:
        """Run a command of nightmail. Raises: BenchFailed."""
        command = [COMMAND, *words, "--config", str(self.file), "--name", name]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        if done.returncode:
            raise BenchFailed(f"{' '.join(words)}: {done.stderr or done.stdout}")

    @contextmanager
    def serving(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        """A server, ready for mail."""
        log = self.place / f"{name}.log"
        with running([COMMAND, "serve", "--config", str(self.file), "--name", name], log, stop_s=30) as process:
            try:
                wait_until(lambda: answer(self.ports[name], f"x@{DOMAIN}") > 0, f"{name} takes mail", 60, 0.1)
            except BenchFailed as error:
                raise BenchFailed(f"{error}\n{tail(log)}") from error
            yield process


class Recipients:
    """A session that asks whether recipients are taken."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._replies = self._socket.makefile("rb")
        self._replies.readline()
        for line in (b"HELO bench.test", b"MAIL FROM:<s@bench.test>"):
            self._say(line)

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def ask(self, address: str) -> int:
        """The code of the reply."""
        return self._say(b"RCPT TO:<%s>" % address.encode())

    def begin_anew(self) -> None:
        """Forget the recipients."""
        self._say(b"RSET")
        self._say(b"MAIL FROM:<s@bench.test>")

    def _say(self, line: bytes) -> int:
        self._socket.sendall(line + b"\r\n")
        return int(self._replies.readline()[:3] or b"0")


def answer(port: int, address: str) -> int:
    """The code of the reply to a recipient, 0 where no server answers."""
    try:
        session = Recipients(port)
    except (OSError, ValueError):
        return 0
    try:
        return session.ask(address)
    except (OSError, ValueError):
        return 0
    finally:
        session.close()
