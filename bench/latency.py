"""How long a client waits: our own client holds 50 sessions open and times every message on the wire.

The acceptance is the time from the message's last octet to its 250; the transaction is all of it, from MAIL to 250.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, cast

import uvloop

from bench.processes import CLOCK, BenchFailed

_ENVELOPE = b"MAIL FROM:<bench@source.test>\r\nRCPT TO:<someone@sink.test>\r\nDATA\r\n"
_LONGEST_S = 60.0


class Latency(NamedTuple):
    """Quantiles in milliseconds, and the rate at which the sessions were served meanwhile."""

    acceptance_p50_ms: float
    acceptance_p99_ms: float
    transaction_p50_ms: float
    transaction_p99_ms: float
    per_second: float


def measure(port: int, size_bytes: int, messages: int, sessions: int = 50) -> Latency:
    """Send `messages` over `sessions` sessions, each of which sends its next one when it has its 250."""
    return uvloop.run(_measure(port, size_bytes, messages, sessions))


async def _measure(port: int, size_bytes: int, messages: int, sessions: int) -> Latency:
    loop = asyncio.get_running_loop()
    body = _message(size_bytes)
    clients = [_Client(body, messages // sessions) for _ in range(sessions)]
    begin = CLOCK.elapsed()
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    try:
        async with asyncio.timeout(_LONGEST_S):
            await asyncio.gather(*(client.done for client in clients))
    except TimeoutError as error:
        raise BenchFailed(f"{messages} messages not accepted within {_LONGEST_S:.0f} s") from error
    took_s = CLOCK.elapsed() - begin
    acceptance = sorted(sample for client in clients for sample in client.acceptance_s)
    transaction = sorted(sample for client in clients for sample in client.transaction_s)
    return Latency(
        _quantile_ms(acceptance, 0.50),
        _quantile_ms(acceptance, 0.99),
        _quantile_ms(transaction, 0.50),
        _quantile_ms(transaction, 0.99),
        per_second=len(acceptance) / took_s,
    )


def _message(size_bytes: int) -> bytes:
    head = b"From: <bench@source.test>\r\nTo: <someone@sink.test>\r\nSubject: bench\r\n\r\n"
    line = b"x" * 70 + b"\r\n"
    return head + line * ((size_bytes - len(head)) // len(line)) + b".\r\n"


def _quantile_ms(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000


class _Client(asyncio.Protocol):
    """One session: EHLO, then one message after the other."""

    def __init__(self, body: bytes, messages: int) -> None:
        self.acceptance_s: list[float] = []
        self.transaction_s: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._body = body
        self._left = messages
        self._unread = b""
        self._wanted: list[bytes] = []
        self._then: Callable[[], None]
        self._began = self._ended = 0.0
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._expect([b"220"], self._hello)

    def data_received(self, data: bytes) -> None:
        *lines, self._unread = (self._unread + data).split(b"\r\n")
        for line in lines:
            if line[3:4] == b" ":
                self._take(line)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(BenchFailed(f"a session was closed under load: {exc or 'without an error'}"))

    def _expect(self, codes: list[bytes], then: Callable[[], None]) -> None:
        self._wanted, self._then = codes, then

    def _take(self, reply: bytes) -> None:
        wanted = self._wanted.pop(0)
        if reply.startswith(wanted):
            if not self._wanted:
                self._then()
        elif not self.done.done():
            self.done.set_exception(BenchFailed(f"{reply.decode('utf-8', 'replace')!r} instead of {wanted.decode()}"))
            self._transport.abort()

    def _hello(self) -> None:
        self._expect([b"250"], self._envelope)
        self._transport.write(b"EHLO bench.test\r\n")

    def _envelope(self) -> None:
        self._began = CLOCK.elapsed()
        self._expect([b"250", b"250", b"354"], self._text)
        self._transport.write(_ENVELOPE)

    def _text(self) -> None:
        self._expect([b"250"], self._accepted)
        self._transport.write(self._body)
        self._ended = CLOCK.elapsed()

    def _accepted(self) -> None:
        now = CLOCK.elapsed()
        self.acceptance_s.append(now - self._ended)
        self.transaction_s.append(now - self._began)
        if len(self.acceptance_s) < self._left:
            self._envelope()
        else:
            self.done.set_result(None)
            self._transport.close()
