"""Two servers, HAProxy in front of them and a store between them, in a directory of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from nightmail.admin.answers import ServerPicture
from nightmail.balancer.haproxy import Server as Balanced
from nightmail.balancer.haproxy import render
from nightmail.cli.client import Client
from nightmail.cli.failing import CommandFailed
from nightmail.config.loading import load
from nightmail.net.control_messages import Selection
from nightmail.world import Clock, Randomness

NAMES = ("mx1", "mx2")
# Where HAProxy is that is in no ordinary user's PATH.
_SYSTEM_PATH = "/usr/sbin:/usr/local/sbin"
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 20.0
_LOOK_S = 0.05
_CONFIG = """\
[server]
hostname = "{{name}}.example.net"
run_directory = "{{name}}"
workers = {workers}
log_format = "json"
{servers}
[heartbeat]
secret_file = "heartbeat.key"
[balancer]
address = "127.0.0.1:{balancer}"
[store]
url = "file:store"
lease_s = {lease_s}
[smtp]
client_session_limit = 1000
[tables]
directory = "tables"
[queue]
retry_first_s = {retry_s}
retry_max_s = {longest_retry_s}
"""
_SERVER = """\
[servers.{name}]
heartbeat = "127.0.0.1:{heartbeat}"
smtp = "127.0.0.1:{smtp}"
http = "127.0.0.1:{http}"
standby = {standby}
"""


class LogLine(msgspec.Struct, frozen=True):
    """What the story needs of a line of a server's log."""

    event: str = ""
    id: str = ""
    status: str = ""
    queue: str = ""
    messages: int = 0
    ambiguous: int = 0


class Server:
    """One `nightmail serve`; it may be killed and started again."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self._home = home
        self._log = home / f"{name}.log"
        self._read_bytes = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Begin it; it is not yet ready."""
        command = (sys.executable, "-m", "nightmail.server", "serve", "--config", str(self._home / "nightmail.toml"))
        self._process = await _spawn(self._log, *command, "--name", self.name)

    async def kill(self) -> None:
        """Kill -9 for the supervisor; its switches die with it, by the kernel's hand."""
        if self._process is not None and self.is_running:
            os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL where that takes too long."""
        if self._process is None or not self.is_running:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def picture(self) -> ServerPicture | None:
        """What `nightmail status` shows, None while nobody answers."""
        try:
            return await asyncio.to_thread(Client(str(self._home / self.name)).status)
        except CommandFailed:
            return None

    async def queued_ids(self, to: str = "") -> frozenset[str] | None:
        """The ids of the messages that wait here, perhaps only of those to `@DOMAIN`; None while nobody answers."""
        try:
            page = await asyncio.to_thread(Client(str(self._home / self.name)).queue_collect, Selection(to=to))
        except CommandFailed:
            return None
        return None if page.faults else frozenset(row.id for row in page.messages)

    def new_lines(self) -> Iterator[LogLine]:
        """The lines of its log that were written since the last call."""
        try:
            with self._log.open("rb") as log:
                log.seek(self._read_bytes)
                text = log.read()
        except FileNotFoundError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.splitlines():
            with contextlib.suppress(msgspec.MsgspecError):  # a line of somebody else's, or half a line of a dead one
                yield msgspec.json.decode(line, type=LogLine)

    def last_words(self) -> str:
        """The end of its log."""
        return _last_line(self._log)


class Pair:
    """The servers and their balancer, in `home`; mail for each domain of `destinations` goes to its port.

    With `has_standby` the second server is one. What is deferred is tried again after `retry_s`, later twice that.
    """

    def __init__(
        self,
        home: Path,
        clock: Clock,
        destinations: Mapping[str, int],
        *,
        lease_s: float,
        workers: int = 1,
        retry_s: float = 2.0,
        has_standby: bool = False,
    ) -> None:
        self.servers = {name: Server(name, home) for name in NAMES}
        self.home = home
        self._clock = clock
        ports = iter(_free_ports(7))
        self.port = next(ports)
        servers = "".join(
            _SERVER.format(
                name=name, heartbeat=next(ports), smtp=next(ports), http=next(ports),
                standby="true" if has_standby and name != NAMES[0] else "false",
            )
            for name in NAMES
        )  # fmt: skip
        text = _CONFIG.format(
            servers=servers, balancer=self.port, lease_s=lease_s, workers=workers,
            retry_s=retry_s, longest_retry_s=2 * retry_s,
        )  # fmt: skip
        (home / "nightmail.toml").write_text(text)
        (home / "tables").mkdir()
        (home / "store").mkdir()
        tables = {
            "domains": "".join(f"{domain}  relay\n" for domain in destinations),
            "routes": "".join(f"{domain}  smtp:[127.0.0.1]:{port}\n" for domain, port in destinations.items()),
            "clients": "127.0.0.0/8  relay\n",
        }
        for name, table in tables.items():
            (home / "tables" / name).write_text(table)
        self._haproxy: asyncio.subprocess.Process | None = None

    async def start(self, randomness: Randomness) -> None:
        """Begin everything; returns once both servers take mail. Raises: CommandFailed: they don't."""
        haproxy = find_haproxy(f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PATH}")
        key = self.home / "heartbeat.key"
        key.touch(0o600)
        key.write_text(randomness.token(16).hex())
        config = load(str(self.home / "nightmail.toml"), NAMES[0])
        if config.balancer is not None:
            balanced = [Balanced(name, entry.smtp, entry.http, entry.standby) for name, entry in config.servers.items()]
            (self.home / "haproxy.cfg").write_text(render(config.balancer, balanced))
        for server in self.servers.values():
            await server.start()
        for name in NAMES:
            await self.until_serving(name)
        log = self.home / "haproxy.log"
        self._haproxy = await _spawn(log, haproxy, "-db", "-f", str(self.home / "haproxy.cfg"))
        await self._until_balanced(log)

    async def _until_balanced(self, log: Path) -> None:
        """Wait until the balancer takes clients. Raises: CommandFailed: it does not."""
        deadline = self._clock.elapsed() + _START_TIMEOUT_S
        while self._haproxy is not None and self._haproxy.returncode is None and self._clock.elapsed() < deadline:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            await asyncio.sleep(_LOOK_S)
        raise CommandFailed(os.EX_SOFTWARE, f"HAProxy does not serve: {_last_line(log)}")

    async def until_serving(self, name: str) -> None:
        """Wait until a server takes mail. Raises: CommandFailed: it does not, or it ended."""
        server = self.servers[name]
        deadline = self._clock.elapsed() + _START_TIMEOUT_S
        while server.is_running and self._clock.elapsed() < deadline:
            picture = await server.picture()
            if picture is not None and picture.state == "serving":
                return
            await asyncio.sleep(_LOOK_S)
        raise CommandFailed(os.EX_SOFTWARE, f"{name} does not serve: {server.last_words()}")

    async def stop(self) -> None:
        """End everything that was begun."""
        try:
            await asyncio.gather(*(server.stop() for server in self.servers.values()))
        finally:
            await self._stop_balancer()

    async def _stop_balancer(self) -> None:
        if self._haproxy is not None and self._haproxy.returncode is None:
            self._haproxy.kill()
            await self._haproxy.wait()


def find_haproxy(path: str) -> str:
    """The balancer's program in a search path. Raises: CommandFailed: it is not installed."""
    found = shutil.which("haproxy", path=path)
    if found is None:
        raise CommandFailed(os.EX_UNAVAILABLE, "the demonstration needs HAProxy; install the package haproxy")
    return found


def _last_line(file: Path) -> str:
    with contextlib.suppress(OSError):
        return file.read_text(errors="replace").strip().rpartition("\n")[2]
    return ""


async def _spawn(log: Path, *command: str) -> asyncio.subprocess.Process:
    """A process in a session of its own, so that Ctrl-C is ours to act on."""
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )


def _free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody listens on now."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
