"""The destination of the demonstration: an SMTP server that keeps a book of what arrives, and is not always willing."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass

from nightmail.cli.demo.ledger import Arrival, Books
from nightmail.world import Clock

DOMAIN = "inbox.example"
_TRACE = re.compile(rb"^Received:.*?\bby (?P<host>\S+).*?\bid (?P<id>[0-9A-Z]+)", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(rb"<(\d+)@")
_BODY_LIMIT_BYTES = 1 << 20


def ending(number: int) -> bytes:
    """The last line of a message: what arrives without it arrived in part."""
    return b"This was message %d.\r\n" % number


@dataclass
class _Session:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    began: float
    client: str = ""
    number: int = 0


class Inbox:
    """Listens on a loopback port from `open` until `close`.

    As a real destination it takes `thinking_s` to answer a message, and sends every `greylisted_of`th away the first
    time (0: none of them). While it is not `is_willing` it sends all away. `under_way` counts, by server, the messages
    that were begun and not yet answered.
    """

    def __init__(self, books: Books, clock: Clock, *, thinking_s: float = 0.03, greylisted_of: int = 5) -> None:
        self.port = 0
        self.damaged = 0
        self.is_willing = True
        self.thinking_s = thinking_s
        self.under_way: Counter[str] = Counter()
        self._clock = clock
        self.greylisted_of = greylisted_of
        self._books = books
        self._known: set[int] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen, on a port that is free."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_BODY_LIMIT_BYTES, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = _Session(reader, writer, self._clock.elapsed())
        try:
            writer.write(b"220 inbox.example ESMTP\r\n")
            while line := await reader.readline():
                if line[:4].upper() == b"QUIT":
                    writer.write(b"221 2.0.0 Bye\r\n")
                    return
                writer.write(await self._answer(session, line))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # a server that was killed says no farewell
        finally:
            self._end(session)
            writer.close()

    async def _answer(self, session: _Session, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"EHLO":
            session.client = _server_name(line[5:].strip())
            return b"250-inbox.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
        if verb == b"RCPT":
            return self._recipient(session, line)
        if verb != b"DATA":
            self._end(session)
            return b"250 2.0.0 Ok\r\n"
        if not session.number:
            return b"503 5.5.1 No valid recipient\r\n"
        session.writer.write(b"354 Go on\r\n")
        data = await session.reader.readuntil(b"\r\n.\r\n")
        await asyncio.sleep(self.thinking_s)
        return self._keep(session, data[: -len(b".\r\n")])

    def _recipient(self, session: _Session, line: bytes) -> bytes:
        found = _NUMBER.search(line)
        number = int(found[1]) if found else 0
        is_new = number not in self._known
        self._known.add(number)
        is_greylisted = is_new and self.greylisted_of > 0 and number % self.greylisted_of == 0
        if not number or is_greylisted or not self.is_willing:
            return b"451 4.7.1 Greylisted: come back in a moment\r\n"
        session.number = number
        self.under_way[session.client] += 1
        return b"250 2.1.5 Ok\r\n"

    def _end(self, session: _Session) -> None:
        """The transaction is over."""
        self.under_way[session.client] -= session.number > 0
        session.number = 0

    def _keep(self, session: _Session, data: bytes) -> bytes:
        number, began = session.number, session.began
        self._end(session)
        trace = _TRACE.search(data)
        if trace is None or not data.endswith(ending(number)):
            self.damaged += 1
            return b"554 5.6.0 This is not what was sent\r\n"
        taken_by = _server_name(trace["host"])
        self._books.note_arrival(Arrival(number, trace["id"].decode(), taken_by, session.client, began))
        return b"250 2.0.0 Ok: kept\r\n"


def _server_name(host: bytes) -> str:
    """Servers of the demonstration are called by the first label of their host names."""
    return host.partition(b".")[0].decode("ascii", "replace")
