"""The destination of the demonstration: an SMTP server that keeps a book of what arrives, and is not always willing."""

from __future__ import annotations

import asyncio
import re

from nightmail.cli.demo.ledger import Books

DOMAIN = "inbox.example"
_QUEUE_ID = re.compile(rb"^Received:.*?\bid ([0-9A-Z]+)", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"<(\d+)@", re.ASCII)
_BODY_LIMIT_BYTES = 1 << 20
# As a real destination: an answer takes its time, and some messages are sent away the first time (greylisting).
_THINKING_S = 0.03
_GREYLISTED_OF = 5


def ending(number: int) -> bytes:
    """The last line of a message: what arrives without it arrived in part."""
    return b"This was message %d.\r\n" % number


class Inbox:
    """Listens on a loopback port from `open` until `close`."""

    def __init__(self, books: Books) -> None:
        self.port = 0
        self.damaged = 0
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
        try:
            writer.write(b"220 inbox.example ESMTP\r\n")
            number = 0
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"QUIT":
                    writer.write(b"221 2.0.0 Bye\r\n")
                    return
                if verb == b"RCPT":
                    number = self._number(line)
                writer.write(await self._answer(verb, number, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # a server that was killed says no farewell
        finally:
            writer.close()

    def _number(self, line: bytes) -> int:
        """The message's number from its recipient, 0 where it is to come again later."""
        found = _NUMBER.search(line.decode("ascii", "replace"))
        number = int(found[1]) if found else 0
        is_new = number not in self._known
        self._known.add(number)
        return 0 if is_new and number % _GREYLISTED_OF == 0 else number

    async def _answer(
        self, verb: bytes, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes:
        if verb == b"EHLO":
            return b"250-inbox.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
        if verb == b"RCPT" and not number:
            return b"451 4.7.1 Greylisted: come back in a moment\r\n"
        if verb != b"DATA":
            return b"250 2.0.0 Ok\r\n"
        if not number:
            return b"503 5.5.1 No valid recipient\r\n"
        writer.write(b"354 Go on\r\n")
        data = await reader.readuntil(b"\r\n.\r\n")
        await asyncio.sleep(_THINKING_S)
        return self._keep(number, data[: -len(b".\r\n")])

    def _keep(self, number: int, data: bytes) -> bytes:
        if not data.endswith(ending(number)):
            self.damaged += 1
            return b"554 5.6.0 This is not what was sent\r\n"
        found = _QUEUE_ID.search(data)
        self._books.note_arrival(number, found[1].decode("ascii") if found else "")
        return b"250 2.0.0 Ok: kept\r\n"
