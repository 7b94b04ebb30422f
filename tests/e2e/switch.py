"""A real `nightmail serve` under test: its configuration, its start and end, its commands and its log."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.processes import command_line, is_alive, tree
from tests.e2e.waiting import PATIENCE_S, until

from nightmail.admin.answers import ServerPicture
from nightmail.cli.client import Client

NIGHTMAIL = str(Path(sys.executable).parent / "nightmail")
Settings = Mapping[str, Mapping[str, object]]
Tables = Mapping[str, str]

LOCAL_ONLY: Tables = {
    "domains": "example.org local\n",
    "routes": "example.org maildir:{mail}/{{local_part}}\n",
    "mailboxes": "alice@example.org\nbob@example.org\n",
    "aliases": "",
    "clients": "127.0.0.0/8 relay\n",
}


_PORTS = range(10_000, 32_000)
_places = itertools.count(os.getpid() * 1_009)


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now, and that was not handed out before.

    It is none of those that the system gives to whoever connects, so that it stays free until it is used; and processes
    begin at places of their own, so that tests that go on beside each other do not get the same one.
    """
    while True:
        port = _PORTS[next(_places) % len(_PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
        return port


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(descriptor)
    os.close(descriptor)


def as_toml(sections: Settings) -> str:
    """Sections of plain keys as TOML; a JSON string, number, boolean or list is one of TOML, too."""
    lines: list[str] = []
    for name, entries in sections.items():
        lines += [f"[{name}]" if not name.startswith("[") else name]
        lines += [f"{key} = {json.dumps(value)}" for key, value in entries.items()] + [""]
    return "\n".join(lines)


class Switch:
    """One server in a directory of its own. As a context manager it is started, and killed in the end.

    `settings` are merged into the configuration by section; `[[listener]]` stands for its one listener. Store and
    Maildirs may lie on another `disk`. In `tables`, `{mail}` stands for the directory of the Maildirs, and other
    braces are doubled. `prefix` are words that run a command elsewhere, `ip netns exec` for one; `host` is its address
    there. `environment` is added to our own.
    """

    def __init__(
        self,
        directory: Path,
        tables: Tables = LOCAL_ONLY,
        settings: Settings | None = None,
        disk: Path | None = None,
        name: str = "mx1",
        *,
        host: str = "127.0.0.1",
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.host = host
        self._prefix = tuple(prefix)
        self._environment = {**os.environ, **(environment or {})}
        self.directory = directory
        self.store = (disk or directory) / "store"
        self.mail = (disk or directory) / "mail"
        self.log_file = directory / "nightmail.log"
        self.config_file = directory / "nightmail.toml"
        self.port = free_port()
        self.http_port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        for each in (self.directory, self.mail, self.store):
            each.mkdir(parents=True, exist_ok=True)
        sync_directory(self.store.parent)
        self.write_tables(tables)
        self.configure(settings or {})

    def configure(self, settings: Settings) -> None:
        """Write the configuration file anew."""
        sections: dict[str, dict[str, object]] = {
            "server": {"name": self.name, "hostname": f"{self.name}.example.net", "run_directory": "run"},
            f"servers.{self.name}": {
                "heartbeat": f"127.0.0.1:{free_port()}",
                "smtp": f"{self.host}:{self.port}",
                "http": f"{self.host}:{self.http_port}",
            },
            "store": {"url": f"file://{self.store}", "lease_s": 1.0},
            "[[listener]]": {"address": f"{self.host}:{self.port}", "service": "smtp"},
            "tables": {"directory": "tables"},
        }
        for name, entries in settings.items():
            sections.setdefault(name, {}).update(entries)
        if "directory" in sections and "tables" not in settings:
            del sections["tables"]
        self.config_file.write_text(as_toml(sections))

    def write_tables(self, tables: Tables) -> None:
        """Write the named tables; the others stay as they are."""
        (self.directory / "tables").mkdir(exist_ok=True)
        for name, text in tables.items():
            (self.directory / "tables" / name).write_text(text.format(mail=self.mail))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, _tb: TracebackType | None) -> None:
        self.kill()
        if error is not None:
            error.add_note(f"--- the end of {self.log_file}\n" + "\n".join(self.log().splitlines()[-60:]))

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the server without waiting for it."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._prefix, NIGHTMAIL, "serve", "--config", str(self.config_file)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.process

    def start(self, timeout_s: float = PATIENCE_S) -> None:
        """Start the server and wait until it is ready for mail."""
        process = self.spawn()

        def ready() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"nightmail ended with {process.returncode} at its start:\n{self.log()[-3000:]}")
            return self.is_ready()

        try:
            until(ready, "ready for mail", timeout_s)
        except AssertionError as error:
            error.add_note(f"/ready: {self.http('/ready')}\n{self.log()[-3000:]}")
            self.kill()
            raise

    def is_ready(self) -> bool:
        """Whether /ready answers 200."""
        return self.http("/ready")[0] == 200

    def http(self, path: str) -> tuple[int, str]:
        """Status and text of a page of the admin address; status 0 if nobody answers."""
        url = f"http://{self.host}:{self.http_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def running(self) -> subprocess.Popen[bytes]:
        """The supervisor's process."""
        assert self.process is not None, "not started"
        return self.process

    def pids(self) -> list[int]:
        """The supervisor and all its children."""
        return tree(self.running().pid)

    def switch_pids(self) -> dict[int, int]:
        """The primary switches that run, by their number."""
        titles = {pid: re.match(r"nightmail: switch (\d+) of ", " ".join(command_line(pid))) for pid in self.pids()}
        return {int(title[1]): pid for pid, title in titles.items() if title}

    def spare_pid(self) -> int:
        """The process in reserve, 0 while there is none that has loaded all."""
        return next((pid for pid in self.pids() if command_line(pid) == ["nightmail: spare switch"]), 0)

    @contextlib.contextmanager
    def frozen(self, pids: Sequence[int] | None = None) -> Iterator[None]:
        """SIGSTOP for all its processes, or for those named, and SIGCONT in the end."""
        pids = self.pids() if pids is None else pids
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def stop(self, timeout_s: float = 20.0) -> int:
        """SIGTERM, as an init system does it; the exit status."""
        process = self.running()
        pids = self.pids()
        process.terminate()
        status = process.wait(timeout_s)
        until(lambda: not any(map(is_alive, pids)), f"the end of {pids}")
        return status

    def kill(self) -> None:
        """kill -9 of the supervisor, which must take its children with it."""
        if self.process is None:
            return
        pids = self.pids() if self.process.poll() is None else []
        self.process.kill()
        self.process.wait()
        try:
            until(lambda: not any(map(is_alive, pids)), f"the end of the children of a killed supervisor: {pids}", 5.0)
        finally:
            for pid in filter(is_alive, pids):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def nightmail(self, *words: str, stdin: bytes = b"", timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run a command of nightmail for this server."""
        command = [NIGHTMAIL, *words, "--config", str(self.config_file)]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout_s, check=False)
        text = (done.stdout.decode(), done.stderr.decode())
        return subprocess.CompletedProcess(command, done.returncode, *text)

    def facts(self, *words: str) -> Any:
        """What a command prints with --json."""
        done = self.nightmail(*words, "--json")
        assert done.returncode == 0, f"{words}: exit {done.returncode}: {done.stderr or done.stdout}"
        return json.loads(done.stdout)

    def queued(self) -> int:
        """How many messages its queues hold."""
        return sum(queue["messages"] for queue in self.facts("status")["queues"])

    def status(self) -> ServerPicture:
        """What `nightmail status` shows, asked without a process for it."""
        return Client(str(self.directory / "run")).status()

    def silence_of(self, peer: str) -> float:
        """The age of the last heartbeat of a peer, in seconds; endless if there was none."""
        ages = {picture.server: picture.heartbeat_age_s for picture in self.status().peers}
        age = ages[peer]
        return float("inf") if age is None else age

    def is_drained(self) -> bool:
        """Whether every switch serves and no queue holds a message."""
        status = self.status()
        serving = all(switch.state == "serving" for switch in status.switches)
        return serving and not any(queue.messages for queue in status.queues)

    def log(self, since: int = 0) -> str:
        """Everything logged so far, by all starts, or what came after the `log_size` of an earlier moment."""
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as file:
            file.seek(since)
            return file.read().decode(errors="replace")

    def log_size(self) -> int:
        """A mark in the log: what is logged later comes after it."""
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def logged(self, *patterns: str, since: int = 0) -> list[str]:
        """The log's lines in which every pattern is found."""
        lines = self.log(since).splitlines()
        return [line for line in lines if all(re.search(pattern, line) for pattern in patterns)]

    def wait_for_log(self, *patterns: str, timeout_s: float = PATIENCE_S, since: int = 0) -> list[str]:
        """The log's lines in which every pattern is found, once there is one."""
        return until(lambda: self.logged(*patterns, since=since), f"a line of the log with {patterns}", timeout_s)

    def change_tables(self, tables: Tables, timeout_s: float = PATIENCE_S) -> str:
        """Write the named tables and wait until the server has taken or refused them; the line in which it says so."""
        before = len(self._table_lines())
        self.write_tables(tables)
        return until(lambda: self._table_lines()[before:], "a word about the tables", timeout_s)[0]

    def _table_lines(self) -> list[str]:
        return self.logged('event="?tables (reloaded|refused)')

    def maildir(self, user: str) -> list[Path]:
        """The messages in a user's Maildir."""
        return sorted((self.mail / user / "new").glob("*"))

    def wait_for_mail(self, user: str, count: int = 1, timeout_s: float = PATIENCE_S) -> list[bytes]:
        """The texts of a user's messages, once there are `count`."""
        files = until(
            lambda: self.maildir(user)[: count or None] if len(self.maildir(user)) >= count else [],
            f"{count} messages for {user}",
            timeout_s,
        )
        return [file.read_bytes() for file in files]
