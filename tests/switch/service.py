"""A switch that listens on a real socket, in front of a simulated store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import cast

from sim.life import Life
from sim.loop import until
from tests.switch.scene import QUICK, Stage

from nightmail.smtp.settings import SmtpSettings
from nightmail.store.settings import StoreSettings
from nightmail.switch.admission import Admission
from nightmail.switch.reception import Reception, Service

MEMORY = StoreSettings(url="memory://")
SMTP = SmtpSettings(message_size_limit_bytes=20 << 20)
HEADER = b"EHLO client.example.org\r\n"
ENVELOPE = b"MAIL FROM:<s@example.org>\r\nRCPT TO:<r@example.net>\r\n"
MESSAGE = b"DATA\r\nSubject: hello\r\n\r\nhello\r\n.\r\n"
PATIENCE_S = 10


class Dialogue:
    """A client on a socket: says bytes, hears replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def hear(self, count: int = 1) -> list[bytes]:
        """So many replies, each by its last line; fewer if the server closes."""
        heard: list[bytes] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(heard) < count and (line := await self.reader.readline()):
                if line[3:4] != b"-":
                    heard.append(line.rstrip())
        return heard

    async def say(self, data: bytes, replies: int = 1) -> list[bytes]:
        """Say something and hear so many replies."""
        self.writer.write(data)
        await self.writer.drain()
        return await self.hear(replies)

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    def hang_up(self) -> None:
        """Be gone at once."""
        self.writer.transport.abort()


class Serving:
    """What listens, and everything behind it."""

    def __init__(self, stage: Stage, life: Life, reception: Reception, port: int) -> None:
        self.stage = stage
        self.life = life
        self.reception = reception
        self.port = port
        self._dialogues: list[Dialogue] = []

    async def connect(self) -> Dialogue:
        """A connection on which nothing was said yet."""
        dialogue = Dialogue(*await asyncio.open_connection("127.0.0.1", self.port))
        self._dialogues.append(dialogue)
        return dialogue

    async def dial(self, greeting: bytes = b"220") -> Dialogue:
        """A client that was greeted."""
        dialogue = await self.connect()
        heard = await dialogue.hear()
        if not heard[0].startswith(greeting):
            raise RuntimeError(f"greeted with {heard}")
        return dialogue

    async def hang_up(self) -> None:
        """All clients are gone."""
        for dialogue in self._dialogues:
            dialogue.hang_up()
            with suppress(ConnectionError):
                await dialogue.writer.wait_closed()

    async def in_the_middle(self) -> Dialogue:
        """A client whose message may begin."""
        dialogue = await self.dial()
        await dialogue.say(HEADER)
        await dialogue.say(ENVELOPE, 2)
        return dialogue


@asynccontextmanager
async def serving(
    service: Service = "smtp",
    smtp: SmtpSettings = SMTP,
    store_settings: StoreSettings = MEMORY,
    proxy_from: tuple[str, ...] = (),
) -> AsyncIterator[Serving]:
    """Serve until the story is over."""
    stage = Stage()
    life = await stage.life(QUICK, store_settings=store_settings)
    life.admission = life.switch.admission = Admission(smtp)
    reception = Reception(life.parts, smtp, service, life.admission, life.switch, proxy_from=proxy_from)
    protocol = cast("Callable[[], asyncio.Protocol]", reception.session)
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    serving = Serving(stage, life, reception, server.sockets[0].getsockname()[1])
    watching = asyncio.ensure_future(reception.look_after_sessions())
    try:
        yield serving
    finally:
        await serving.hang_up()
        server.close()
        watching.cancel()
        reception.abort()
        await until_soon(lambda: reception.sessions == 0)
        await life.crash()


async def until_soon(condition: Callable[[], bool]) -> None:
    """Let the loop go round until something is so."""
    async with asyncio.timeout(PATIENCE_S):
        await until(condition, within_s=PATIENCE_S)
