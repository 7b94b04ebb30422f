"""What a real HAProxy makes of a server that is ready, leaving, not ready, or hangs in its SMTP service."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.e2e.switch import free_port

from nightmail.balancer.haproxy import Server, render
from nightmail.balancer.settings import BalancerSettings

_READY = b"HTTP/1.0 200 OK\r\n\r\nready\n"
_GREETING = b"220 mx1 ESMTP\r\n"
_TIMEOUT_S = 20.0


class Fake:
    """Answers HAProxy's checks as it is told to."""

    def __init__(self) -> None:
        self.answer = _READY
        self.greeting = _GREETING
        self.headers: list[bytes] = []

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self.answer)
        writer.close()

    async def smtp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.headers.append(await reader.read(16))
        writer.write(self.greeting)
        if self.greeting:
            while line := await reader.readline():
                if line.startswith(b"QUIT"):
                    break
            writer.write(b"221 Bye\r\n")
        else:
            await reader.read()
        writer.close()


@contextlib.asynccontextmanager
async def balanced(fake: Fake, directory: Path) -> AsyncIterator[str]:
    """HAProxy in front of the fake server; the path of its runtime socket."""
    runtime = str(directory / "h.sock")
    async with (
        await asyncio.start_server(fake.http, "127.0.0.1", 0) as http,
        await asyncio.start_server(fake.smtp, "127.0.0.1", 0) as smtp,
    ):
        smtp_at, http_at = (f"127.0.0.1:{each.sockets[0].getsockname()[1]}" for each in (smtp, http))
        server = Server("mx-1", smtp_at, http_at)
        settings = BalancerSettings(address=f"127.0.0.1:{free_port()}", runtime_socket=runtime, check_every_s=0.1)
        (directory / "haproxy.cfg").write_text(render(settings, [server]))
        process = await asyncio.create_subprocess_exec(
            "haproxy", "-db", "-f", str(directory / "haproxy.cfg"), stderr=subprocess.DEVNULL
        )
        try:
            yield runtime
        finally:
            process.kill()
            await process.wait()


async def until(runtime: str, wanted: str) -> None:
    """Wait until HAProxy says so of the server."""
    seen = ""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            while seen != wanted:
                await asyncio.sleep(0.05)
                with contextlib.suppress(OSError):
                    reader, writer = await asyncio.open_unix_connection(runtime)
                    writer.write(b"show stat\n")
                    rows = (await reader.read()).decode().splitlines()
                    writer.close()
                    seen = next(row.split(",")[17] for row in rows if row.startswith("switches,mx-1,"))
    except TimeoutError:
        pytest.fail(f"HAProxy says {seen!r}, not {wanted!r}")


def test_a_server_is_judged_by_its_readiness_and_by_its_smtp_service(tmp_path: Path) -> None:
    async def story() -> None:
        fake = Fake()
        async with balanced(fake, tmp_path) as runtime:
            await until(runtime, "UP")
            fake.answer = b"HTTP/1.0 404 Not Found\r\n\r\nthe server is draining\n"
            await until(runtime, "NOLB")  # no new clients, and the sessions that it has go on
            fake.answer = _READY
            await until(runtime, "UP")
            fake.answer = b"HTTP/1.0 503 Service Unavailable\r\n\r\n"
            await until(runtime, "DOWN")
            fake.answer = _READY
            await until(runtime, "UP")
            fake.greeting = b"421 4.3.2 Too many sessions\r\n"
            checks = len(fake.headers)
            while len(fake.headers) < checks + 5:  # noqa: ASYNC110 - HAProxy's checks are no event of ours
                await asyncio.sleep(0.05)
            await until(runtime, "UP")  # full is alive: its sessions are not to be cut
            fake.greeting = b""
            await until(runtime, "DOWN")
            fake.greeting = _GREETING
            await until(runtime, "UP")
        assert all(header.startswith((b"PROXY ", b"\r\n\r\n\x00\r\nQUIT\n")) for header in fake.headers)

    asyncio.run(story())
