"""The destination: an SMTP server that remembers every message it took and can be told to misbehave at any step."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import time
from dataclasses import dataclass, field
from enum import Enum, auto
from types import TracebackType
from typing import Self

from tests.e2e.background import Background
from tests.e2e.waiting import PATIENCE_S, until

_LARGEST = 256 * 1024 * 1024
_QUEUE_ID = re.compile(rb"^Received:.*?\bid ([0-9A-Z]+)", re.DOTALL | re.MULTILINE)
_NONSENSE = b"\xff\xfe\x00 lorem ipsum\r\n" * 3


class Act(Enum):
    """How to answer a step of the dialogue."""

    REPLY = auto()
    HANG = auto()
    DRIP = auto()
    RESET = auto()
    CLOSE = auto()
    NONSENSE = auto()
    ENDLESS = auto()


@dataclass(frozen=True)
class Answer:
    """An act and, for REPLY, its words; `delay_s` passes before it."""

    act: Act = Act.REPLY
    words: str = ""
    delay_s: float = 0.0


@dataclass(frozen=True)
class Received:
    """A message that was kept: from its final dot on it counts as delivered, whatever the client was told."""

    queue_id: str
    sender: str
    recipients: tuple[str, ...]
    data: bytes
    at: float
    answered: bool
    session: int
    helo: str = ""


@dataclass
class _Session:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    helo: str = ""
    sender: str | None = None
    recipients: list[str] = field(default_factory=list)


class Sink:
    """Listens on a port of `host`. `on` maps a step (connect, EHLO, MAIL, RCPT, DATA, `.`) to an answer of its own."""

    def __init__(
        self,
        port: int = 0,
        extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN"),
        *,
        host: str = "127.0.0.1",
    ) -> None:
        self.host = host
        self.port = port
        self.on: dict[str, Answer] = {}
        self.received: list[Received] = []
        self.commands: list[str] = []
        self.sessions = 0
        self._extensions = extensions
        self._background = Background()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None] | None] = set()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, _tb: TracebackType | None) -> None:
        self.shut()
        self._background.close()

    def open(self) -> None:
        """Listen (again), on the same port as before."""
        self._background.call(self._open())

    def shut(self) -> None:
        """Listen no more: connections are refused, and those that are open end."""
        self._background.call(self._shut())

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, self.host, self.port, limit=_LARGEST, backlog=1000)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    def wait_for(self, count: int, timeout_s: float = PATIENCE_S) -> list[Received]:
        """The messages received, once there are at least `count`."""
        until(lambda: len(self.received) >= count, f"{count} messages in the sink", timeout_s)
        return list(self.received)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        self._tasks.add(asyncio.current_task())  # a task that hangs is kept alive by nobody else
        session = _Session(reader, writer, self.sessions)
        try:
            if await self._answer(session, "connect", "220 sink.test ESMTP"):
                await self._converse(session)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has left
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._tasks.discard(asyncio.current_task())
            with contextlib.suppress(ConnectionError):
                writer.close()

    async def _converse(self, session: _Session) -> None:
        while line := await session.reader.readline():
            command = line.decode("utf-8", "replace").rstrip("\r\n")
            self.commands.append(command)
            verb = command.split(" ")[0].upper()
            if not await self._step(session, verb, command):
                return

    async def _step(self, session: _Session, verb: str, command: str) -> bool:
        if verb in ("EHLO", "HELO", "LHLO"):
            session.helo = command.partition(" ")[2]
            return await self._answer(session, "EHLO", "\n".join(("250 sink.test", *self._extensions)))
        if verb == "MAIL":
            return await self._sender(session, _path(command))
        if verb == "RCPT":
            return await self._recipient(session, _path(command))
        if verb == "DATA":
            return await self._data(session)
        if verb == "QUIT":
            await self._answer(session, "QUIT", "221 2.0.0 Bye")
            return False
        return await self._answer(session, verb, "250 2.0.0 Ok")

    async def _sender(self, session: _Session, address: str) -> bool:
        answer = self.on.get("MAIL", Answer())
        session.sender = address if _accepts(answer) else None
        session.recipients = []
        return await self._perform(session, answer, "250 2.1.0 Ok")

    async def _recipient(self, session: _Session, address: str) -> bool:
        answer = self.on.get(f"RCPT {address}") or self.on.get("RCPT", Answer())
        if session.sender is None:
            answer = Answer(words="503 5.5.1 MAIL first")
        elif _accepts(answer):
            session.recipients.append(address)
        return await self._perform(session, answer, "250 2.1.5 Ok")

    async def _data(self, session: _Session) -> bool:
        if not session.recipients:
            return await self._perform(session, Answer(), "503 5.5.1 No valid recipients")
        if not await self._answer(session, "DATA", "354 Go on"):
            return False
        if not _accepts(self.on.get("DATA", Answer())):
            return True
        data = await _text(session.reader)
        answer = self.on.get(".", Answer())
        if _accepts(answer):
            self._keep(session, data, answered=answer.act in (Act.REPLY, Act.DRIP))
        return await self._perform(session, answer, "250 2.0.0 Ok: kept")

    def _keep(self, session: _Session, data: bytes, *, answered: bool) -> None:
        found = _QUEUE_ID.search(data)
        queue_id = found[1].decode() if found else ""
        self.received.append(
            Received(
                queue_id,
                session.sender or "",
                tuple(session.recipients),
                data,
                time.monotonic(),
                answered,
                session.number,
                session.helo,
            )
        )

    async def _answer(self, session: _Session, step: str, usual: str) -> bool:
        return await self._perform(session, self.on.get(step, Answer()), usual)

    async def _perform(self, session: _Session, answer: Answer, usual: str) -> bool:
        """Answer; whether the session goes on."""
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        words = _wire(answer.words or usual)
        match answer.act:
            case Act.HANG:
                await asyncio.Event().wait()
            case Act.RESET:
                _reset(session.writer)
            case Act.DRIP:
                await _drip(session.writer, words)
            case Act.NONSENSE:
                session.writer.write(_NONSENSE)
            case Act.ENDLESS:
                await _endless(session.writer)
            case Act.REPLY:
                session.writer.write(words)
                await session.writer.drain()
        return answer.act in (Act.REPLY, Act.DRIP, Act.NONSENSE)


async def _text(reader: asyncio.StreamReader) -> bytes:
    """What stands before the final dot, as it came over the wire."""
    lines = []
    while (line := await reader.readuntil(b"\r\n")) != b".\r\n":
        lines.append(line)
    return b"".join(lines)


def _accepts(answer: Answer) -> bool:
    return answer.words == "" or answer.words[0] in "23"


def _path(command: str) -> str:
    return command.partition("<")[2].partition(">")[0]


def _wire(words: str) -> bytes:
    code, lines = words[:3], [words.split("\n", maxsplit=1)[0][4:], *words.split("\n")[1:]]
    last = len(lines) - 1
    return "".join(f"{code}{' ' if n == last else '-'}{line}\r\n" for n, line in enumerate(lines)).encode()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _drip(writer: asyncio.StreamWriter, words: bytes) -> None:
    for octet in words:
        writer.write(bytes([octet]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def _endless(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"250-and so on\r\n" * 1000)
        await writer.drain()
