"""An SMTP or LMTP server on loopback that does as it is told: well-behaved unless a step of its script says otherwise.

A script gives for a step (`greeting`, `EHLO`, `MAIL`, `RCPT`, `DATA`, `body`, `BDAT`, `message`, `RSET`, `QUIT`) what
is done each time it comes up, in turn, over all sessions; after that, and where nothing is given, the step is answered
well.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Self

EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "SIZE 0")


class Act(Enum):
    """What may be done instead of an answer."""

    HANG = "say nothing, keep the connection"
    CLOSE = "close it"
    RESET = "reset it"


@dataclass(frozen=True)
class Say:
    """An answer that is written in pieces of `piece_bytes`, and what follows it."""

    text: str
    piece_bytes: int = 0
    then: Act | None = None
    endless: bool = False


Step = str | Say | Act

DEFAULTS = {
    "greeting": "220 sink.example ESMTP",
    "HELO": "250 sink.example",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 go on",
    "BDAT": "250 2.0.0 chunk taken",
    "message": "250 2.0.0 Ok: taken",
    "RSET": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
}


@dataclass
class Taken:
    """A message that was answered, as it came."""

    mail: str
    rcpts: list[str]
    body: bytes


@dataclass
class _Dialogue:
    mail: str = ""
    rcpts: list[str] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)


class Sink:
    """Listens while it is entered. `heard` counts commands, `messages` are those whose end was seen."""

    def __init__(
        self,
        script: Mapping[str, Sequence[Step]] | None = None,
        *,
        extensions: Sequence[str] = EXTENSIONS,
        lmtp: bool = False,
        unix: str = "",
        host: str = "127.0.0.1",
    ) -> None:
        self.heard: Counter[str] = Counter()
        self.messages: list[Taken] = []
        self.connections = 0
        self._script = {step: deque(told) for step, told in (script or {}).items()}
        self._extensions = extensions
        self._lmtp = lmtp
        self._unix = unix
        self._host = host
        self._writers: list[asyncio.StreamWriter] = []
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        if self._unix:
            self._server = await asyncio.start_unix_server(self._serve, self._unix)
        else:
            self._server = await asyncio.start_server(self._serve, self._host, 0)
            self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.drop_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop_all(self) -> None:
        """Close every connection."""
        for writer in self._writers:
            writer.close()

    async def saw(self, step: str, times: int = 1) -> None:
        """Wait until a step has come up so often."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: self.heard[step] >= times), 10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.append(writer)
        self.connections += 1
        try:
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            await self._count("closed")
            writer.close()

    async def _count(self, step: str) -> None:
        self.heard[step] += 1
        async with self._changed:
            self._changed.notify_all()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialogue = _Dialogue()
        if not await self._step("greeting", writer):
            return
        while line := await reader.readline():
            verb, _, rest = line.decode().rstrip("\r\n").partition(" ")
            verb = verb.upper()
            if verb == "MAIL":
                dialogue = _Dialogue(rest.partition(":")[2])
            if verb == "RCPT":
                dialogue.rcpts.append(rest.partition(":")[2])
            if verb == "BDAT":
                dialogue.chunks.append(await reader.readexactly(int(rest.split()[0])))
                verb = "message" if rest.endswith("LAST") else verb
            if verb == "message":
                self.messages.append(Taken(dialogue.mail, dialogue.rcpts, b"".join(dialogue.chunks)))
            told = self._told(verb)
            if not await self._step(verb, writer, told) or verb == "QUIT":
                return
            if verb == "RCPT" and isinstance(told, str) and not told.startswith("2"):
                dialogue.rcpts.pop()
            if verb == "DATA" and isinstance(told, str) and told.startswith("354"):
                await self._message(dialogue, reader, writer)

    async def _message(self, dialogue: _Dialogue, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._script.get("body") and not await self._step("body", writer):
            raise ConnectionError
        lines = []
        while (line := await reader.readline()) != b".\r\n":
            if not line:
                raise ConnectionError
            lines.append(line.removeprefix(b"."))
        self.messages.append(Taken(dialogue.mail, dialogue.rcpts, b"".join(lines)))
        for _ in dialogue.rcpts if self._lmtp else (1,):
            if not await self._step("message", writer):
                raise ConnectionError

    def _told(self, step: str) -> Step:
        told = self._script.get(step)
        if told:
            return told.popleft()
        if step in ("EHLO", "LHLO"):
            lines = ("sink.example", *self._extensions)
            return "\r\n".join(f"250{'-' if n < len(lines) else ' '}{line}" for n, line in enumerate(lines, 1))
        return DEFAULTS.get(step, "500 5.5.1 what?")

    async def _step(self, step: str, writer: asyncio.StreamWriter, told: Step | None = None) -> bool:
        """Do what is due; False: nothing more comes."""
        told = self._told(step) if told is None else told
        await self._count(step)
        if isinstance(told, str):
            writer.write(told.encode() + b"\r\n")
            return True
        if isinstance(told, Say):
            await self._say(told, writer)
            return told.then is None or await self._act(told.then, writer)
        return await self._act(told, writer)

    async def _say(self, say: Say, writer: asyncio.StreamWriter) -> None:
        wire = say.text.encode()
        size = say.piece_bytes or len(wire)
        while True:
            for start in range(0, len(wire), size):
                writer.write(wire[start : start + size])
                await writer.drain()
                await asyncio.sleep(0.001 if say.endless else 0)
            if not say.endless:
                return

    async def _act(self, act: Act, writer: asyncio.StreamWriter) -> bool:
        if act is Act.HANG:
            await asyncio.Event().wait()
        if act is Act.RESET:
            wire = writer.get_extra_info("socket")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort() if act is Act.RESET else writer.close()
        return False
