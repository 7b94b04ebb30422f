"""Clients that send without end and keep a book: which message was acknowledged, refused, or never answered."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self

from tests.e2e.background import Background

_PATIENCE_S = 15.0
_TEXT = b"The quick brown fox jumps over the lazy dog; the switch must not lose him on the way.\r\n"


class Fate(Enum):
    """What the client knows of a message."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNANSWERED = "unanswered"
    UNSENT = "unsent"


@dataclass(frozen=True)
class Sent:
    """One entry of the book. `reply` is the last one that concerned the message, empty if there was none."""

    audit_id: str
    recipients: tuple[str, ...]
    fate: Fate
    reply: str
    at: float

    @property
    def queue_id(self) -> str:
        """The id that the 250 named."""
        return self.reply.rpartition(" ")[2] if self.fate is Fate.ACKNOWLEDGED else ""


class Refused(Exception):
    """The switch answered a command with something else than was hoped for."""


class Load:
    """`sessions` clients in a thread of their own; `book` holds every message they began to send.

    A client reconnects when its session ends and never repeats a message: whatever comes twice came twice from the
    switch. Sizes are mixed, one message in a hundred being too large for a segment's bodies. `pause_s` is the
    longest rest between two messages of a session, `limit` bounds them all. `name` tells its messages from another's.
    """

    def __init__(
        self,
        port: int,
        seed: int,
        *,
        sessions: int = 12,
        pause_s: float = 0.02,
        limit: int = 200_000,
        large_bytes: int = 1_200_000,
        name: str = "m",
        host: str = "127.0.0.1",
    ) -> None:
        self._name = name
        self._host = host
        self.port = port
        self.book: list[Sent] = []
        self._random = random.Random(seed)
        self._sessions = sessions
        self._pause_s = pause_s
        self._limit = limit
        self._large_bytes = large_bytes
        self._begun = 0
        self._over = False
        self._background = Background()

    def __enter__(self) -> Self:
        for _ in range(self._sessions):
            asyncio.run_coroutine_threadsafe(self._client(), self._background.loop)
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, _tb: TracebackType | None) -> None:
        self._over = True
        self._background.close()

    def finish(self, timeout_s: float = 60.0) -> None:
        """Let every session end its message, and send no more."""
        self._over = True

        async def last() -> None:
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            await asyncio.wait(others, timeout=timeout_s) if others else None

        self._background.call(last(), timeout_s + 5)

    def count(self, fate: Fate) -> int:
        """How many messages met this fate so far."""
        return Counter(sent.fate for sent in list(self.book))[fate]

    async def _client(self) -> None:
        while not self._over and self._begun < self._limit:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, Refused, TimeoutError):
                await self._session()
            await asyncio.sleep(0.05)

    async def _session(self) -> None:
        reader, writer = await asyncio.open_connection(self._host, self.port)
        try:
            await _expect(reader, "220")
            writer.write(b"EHLO load.example.net\r\n")
            await _expect(reader, "250")
            while not self._over and self._begun < self._limit:
                await self._message(reader, writer)
                await asyncio.sleep(self._random.random() * self._pause_s)
            writer.write(b"QUIT\r\n")
            await _expect(reader, "221")
        finally:
            writer.transport.abort()

    async def _message(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._begun += 1
        audit_id = f"{self._name}{self._begun}"
        recipients = self._recipients(audit_id)
        fate, reply = Fate.UNSENT, ""
        try:
            await _transact(reader, writer, recipients)
            body = self._body(audit_id)
            fate = Fate.UNANSWERED
            writer.write(body)
            reply = await _reply(reader)
            fate = Fate.ACKNOWLEDGED if reply.startswith("250") else Fate.REFUSED
            _raise_at_a_farewell(reply)
        except Refused as refused:
            fate, reply = Fate.REFUSED, str(refused)
            raise
        finally:
            self.book.append(Sent(audit_id, recipients, fate, reply, time.monotonic()))

    def _recipients(self, audit_id: str) -> tuple[str, ...]:
        chance = self._random.random()
        if chance < 0.15:
            return (f"{audit_id}-a@sink.test", f"{audit_id}-b@sink.test", "box@local.test")
        return (f"{audit_id}@sink.test",) if chance < 0.9 else ("box@local.test",)

    def _body(self, audit_id: str) -> bytes:
        size = self._random.choice((300, 1000, 4000, 4000, 30_000))
        if self._random.random() < 0.01:
            size = self._large_bytes
        head = b"From: <load@example.net>\r\nX-Audit-Id: %s\r\n\r\n" % audit_id.encode()
        return head + _TEXT * (size // len(_TEXT)) + b".\r\n"


def _raise_at_a_farewell(reply: str) -> None:
    if reply.startswith("421"):
        raise Refused(reply)


async def _transact(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, recipients: tuple[str, ...]) -> None:
    commands = ["MAIL FROM:<load@example.net>", *(f"RCPT TO:<{address}>" for address in recipients), "DATA"]
    writer.write("".join(f"{command}\r\n" for command in commands).encode())
    replies = [await _reply(reader) for _ in commands]
    for reply in replies:
        if reply[:3] not in ("250", "354"):
            raise Refused(reply)


async def _expect(reader: asyncio.StreamReader, code: str) -> None:
    reply = await _reply(reader)
    if not reply.startswith(code):
        raise Refused(reply)


async def _reply(reader: asyncio.StreamReader) -> str:
    while True:
        async with asyncio.timeout(_PATIENCE_S):
            line = (await reader.readline()).decode()
        if not line.endswith("\n"):
            raise asyncio.IncompleteReadError(line.encode(), None)
        if line[3:4] != "-":
            return line.rstrip("\r\n")
