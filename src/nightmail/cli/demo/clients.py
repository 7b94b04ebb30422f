"""The senders of the demonstration: they connect to the balancer, again and again, and note every answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from nightmail.cli.demo.inbox import DOMAIN, ending
from nightmail.cli.demo.ledger import Answer, Books
from nightmail.world import Clock, Randomness

_PATIENCE_S = 30.0
_AGAIN_S = 0.05
_MESSAGES_A_SESSION = 10
_LINE = b"The quick brown fox jumps over the lazy dog, and the switch brings him to the other side.\r\n"
_SIZES_LINES = (5, 20, 45, 300)


@dataclass
class _Wish:
    """The next message of a client, and since when it wants to send that."""

    since: float


class Clients:
    """`sessions` clients at a time, each resting up to `rest_s` between two messages; `limit` bounds them all.
    Messages are numbered from `after` on.

    A client whose server dies comes back through the balancer and sends what was not acknowledged under a new number,
    so that whatever arrives twice was doubled by the servers. `longest_pause_s` is the longest that any client waited
    for an acknowledgement, from when it first wanted to send, over all its attempts.
    """

    def __init__(
        self,
        books: Books,
        port: int,
        clock: Clock,
        randomness: Randomness,
        *,
        sessions: int,
        rest_s: float,
        limit: int,
        after: int = 0,
    ) -> None:
        self.longest_pause_s = 0.0
        self.refused_for_good = 0
        self._books = books
        self._port = port
        self._clock = clock
        self._random = randomness
        self._sessions = sessions
        self._rest_s = rest_s
        self._left = limit
        self._begun = after
        self._is_over = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to send."""
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._sessions)]

    async def finish(self) -> None:
        """Send no more; returns once every message under way has its answer."""
        self._is_over = True
        await asyncio.gather(*self._tasks)

    def forget_pauses(self) -> float:
        """The longest pause so far; what comes is measured anew."""
        longest, self.longest_pause_s = self.longest_pause_s, 0.0
        return longest

    async def _client(self) -> None:
        wish = _Wish(self._clock.elapsed())
        while not self._is_over and self._left > 0:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except (OSError, TimeoutError):
                await asyncio.sleep(_AGAIN_S)
                continue
            try:
                await self._session(reader, writer, wish)
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                self.longest_pause_s = max(self.longest_pause_s, self._clock.elapsed() - wish.since)
                await asyncio.sleep(_AGAIN_S)
            finally:
                writer.transport.abort()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wish: _Wish) -> None:
        """Send some messages."""
        greeting = await _reply(reader)
        writer.write(b"EHLO client.example\r\n")
        if not greeting.startswith("220") or not (await _reply(reader)).startswith("250"):
            return
        for _ in range(_MESSAGES_A_SESSION):
            if self._is_over or self._left <= 0:
                break
            if not await self._message(reader, writer):
                return
            self.longest_pause_s = max(self.longest_pause_s, self._clock.elapsed() - wish.since)
            await asyncio.sleep(self._random.uniform() * self._rest_s)
            wish.since = self._clock.elapsed()
        writer.write(b"QUIT\r\n")
        await _reply(reader)

    async def _message(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send one; whether it was acknowledged."""
        self._left -= 1
        self._begun += 1
        number = self._begun
        writer.write(b"MAIL FROM:<client@client.example>\r\nRCPT TO:<%d@%s>\r\nDATA\r\n" % (number, DOMAIN.encode()))
        for _ in range(3):
            reply = await _reply(reader)
            if reply[:1] not in ("2", "3"):
                self._note(number, "refused", reply)
                return False
        answer: Answer = "unanswered"
        reply = ""
        try:
            writer.write(self._text(number))
            reply = await _reply(reader)
            answer = "acknowledged" if reply.startswith("250") else "refused"
        finally:
            self._note(number, answer, reply)
        return answer == "acknowledged"

    def _note(self, number: int, answer: Answer, reply: str) -> None:
        self.refused_for_good += reply.startswith("5")
        self._books.note_sent(number, answer, reply.rpartition(" ")[2] if answer == "acknowledged" else "")

    def _text(self, number: int) -> bytes:
        lines = _SIZES_LINES[int(self._random.uniform() * len(_SIZES_LINES))]
        head = b"From: <client@client.example>\r\nSubject: Message %d\r\n\r\n" % number
        return head + _LINE * lines + ending(number) + b".\r\n"


async def _reply(reader: asyncio.StreamReader) -> str:
    """The last line of a reply. Raises: IncompleteReadError, TimeoutError: none came."""
    while True:
        async with asyncio.timeout(_PATIENCE_S):
            line = (await reader.readuntil(b"\r\n")).decode("utf-8", "replace")
        if line[3:4] != "-":
            return line.rstrip("\r\n")
