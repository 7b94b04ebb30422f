"""Sessions whose client does not read, whose store does not answer, or whose directory is away."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence

import msgspec
import pytest
import uvloop
from sim.store import SimulatedBodyWriter
from tests.eventloop import on_a_loop
from tests.switch.service import ENVELOPE, HEADER, MEMORY, MESSAGE, SMTP, Serving, serving, until_soon

from nightmail.errors import DirectoryUnavailable
from nightmail.routing.model import ClientRule
from nightmail.store.protocol import Buffer
from nightmail.switch.session import SmtpSession

IMPATIENT = msgspec.structs.replace(SMTP, idle_timeout_s=0.2)
HASTY = msgspec.structs.replace(MEMORY, commit_wait_s=0.05, answer_timeout_s=0.05)
LARGE = (b"x" * 998 + b"\r\n") * 2000 + b".\r\n"
BOUND_BYTES = 1 << 20
QUEUED = re.compile(rb"250 2\.0\.0 Ok: queued as [0-9A-Z]+$")


class Deaf:
    """A client that says a lot and reads nothing, with as little room in the kernel as there may be."""

    def __init__(self, service: Serving) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", service.port))
        self.socket.setblocking(False)
        self._service = service

    async def session(self) -> SmtpSession:
        """Its session, once there is one."""
        await until_soon(lambda: self._service.reception.sessions == 1)
        return next(iter(self._service.reception._sessions))

    async def say_until_unheard(self, data: bytes) -> None:
        """Repeat `data` until the server stops to listen and the kernel takes no more of it."""
        session = await self.session()
        async with asyncio.timeout(10):
            while True:
                try:
                    self.socket.send(data)
                except BlockingIOError:
                    if session._is_unread:
                        return
                await asyncio.sleep(0)


def written(session: SmtpSession) -> int:
    assert session._transport is not None
    return session._transport.get_write_buffer_size()


@pytest.mark.parametrize("with_uvloop", [True, False])
@pytest.mark.parametrize("command", [b"EHLO x\r\n", b"NOOP\r\n", b"HELP\r\n", b"RSET\r\n"])
def test_who_does_not_read_answers_is_not_heard_and_takes_little_memory(command: bytes, with_uvloop: bool) -> None:
    async def story() -> None:
        async with serving() as service:
            deaf = Deaf(service)
            await deaf.say_until_unheard(command * 20_000)
            session = await deaf.session()
            assert written(session) < BOUND_BYTES
            assert len(session._ahead) < BOUND_BYTES
            assert session._core is not None
            assert session._core.buffered_bytes < BOUND_BYTES
            deaf.socket.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if with_uvloop else None) as runner:
        runner.run(story())


@on_a_loop
async def test_who_reads_at_last_is_answered_in_order_and_in_full() -> None:
    async with serving() as service:
        client = await service.dial()
        count = 100_000
        said = asyncio.ensure_future(client.say(HEADER + b"HELP\r\n" * count + b"VRFY x\r\n", 0))
        session = next(iter(service.reception._sessions))
        await until_soon(lambda: session._is_unread)
        heard = await client.hear(count + 2)
        await said
        assert [reply[:3] for reply in heard[1:-1]] == [b"214"] * count
        assert heard[-1].startswith(b"252")
        assert not session._is_unread
        assert QUEUED.search(b"\n".join(await client.say(ENVELOPE + MESSAGE, 4)))


@on_a_loop
async def test_a_message_is_answered_though_its_client_does_not_read() -> None:
    async with serving() as service:
        client = await service.in_the_middle()
        await client.say(b"DATA\r\n")
        session = next(iter(service.reception._sessions))
        held = service.stage.store.hold_next("put_new")
        client.writer.write(MESSAGE[6:] + b"VRFY ahead\r\n")
        await held.reached()
        session.pause_writing()
        held.answer()
        assert QUEUED.fullmatch((await client.hear())[0]), "the answer is written all the same (J1)"
        assert service.life.parts.counters.accepted == 1
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.readexactly(1), 0.05)
        session.resume_writing()
        assert (await client.hear())[0].startswith(b"252")


@on_a_loop
async def test_who_never_reads_is_counted_out_after_the_idle_timeout() -> None:
    async with serving(smtp=IMPATIENT) as service:
        deaf = Deaf(service)
        await deaf.session()
        await deaf.say_until_unheard(b"EHLO x\r\n" * 20_000)
        await until_soon(lambda: service.reception.sessions == 0)
        assert service.life.admission.sessions == 0
        deaf.socket.close()


@on_a_loop
async def test_a_session_that_is_closing_does_not_wait_for_ever_to_be_read() -> None:
    async with serving(smtp=IMPATIENT) as service:
        deaf = Deaf(service)
        session = await deaf.session()
        await deaf.say_until_unheard(b"EHLO x\r\n" * 20_000)
        service.reception.shut_down()
        assert service.reception.sessions == 1
        assert session._transport is not None
        assert session._transport.is_closing()
        await until_soon(lambda: service.reception.sessions == 0)
        deaf.socket.close()


@pytest.mark.parametrize("has_landed", [True, False])
@on_a_loop
async def test_a_large_body_that_hangs_too_long_is_refused_and_removed(has_landed: bool) -> None:
    async with serving(store_settings=HASTY) as service:
        client = await service.in_the_middle()
        await client.say(b"DATA\r\n")
        held = service.stage.store.hold_next("put_body")
        client.writer.write(LARGE)
        await held.reached()
        if has_landed:
            held.land()
        assert (await client.hear())[0].startswith(b"451 4.3.0")
        await until_soon(lambda: not service.reception._tasks)
        assert not any("/body/" in key for key in service.stage.archive.contents)
        assert (await client.say(ENVELOPE, 2))[1] == b"250 2.1.5 Ok"
        assert not service.stage.ledger.acknowledged


@on_a_loop
async def test_pieces_of_a_body_that_cannot_be_written_in_time_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_self: SimulatedBodyWriter, _data: Sequence[Buffer]) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(SimulatedBodyWriter, "write", hang)
    async with serving(store_settings=HASTY) as service:
        client = await service.in_the_middle()
        await client.say(b"DATA\r\n")
        session = next(iter(service.reception._sessions))
        body = (b"x" * 998 + b"\r\n") * 1049  # so that the read that makes it too large also ends it
        session.data_received(body[:1_000_000])
        session.data_received(body[1_000_000:] + b".\r\n")
        assert (await client.hear())[0].startswith(b"451 4.3.0")
        await until_soon(lambda: not service.reception._tasks)
        assert (await client.say(ENVELOPE, 2))[1] == b"250 2.1.5 Ok", "it is heard again"


@on_a_loop
async def test_a_body_whose_writing_fails_in_an_unknown_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_self: SimulatedBodyWriter, _data: Sequence[Buffer]) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(SimulatedBodyWriter, "write", fail)
    async with serving() as service:
        client = await service.in_the_middle()
        await client.say(b"DATA\r\n")
        assert (await client.say(LARGE))[0].startswith(b"451 4.3.0")


@on_a_loop
async def test_a_session_whose_large_message_fails_in_an_unknown_way_ends_unanswered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(_self: SimulatedBodyWriter) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(SimulatedBodyWriter, "commit", fail)
    async with serving() as service:
        client = await service.in_the_middle()
        await client.say(b"DATA\r\n")
        client.writer.write(LARGE)
        assert await client.rest() == b""
        assert service.life.parts.counters.unanswered == 1
        await until_soon(lambda: service.reception.sessions == 0)


@on_a_loop
async def test_a_client_whose_rule_cannot_be_known_is_told_to_come_again() -> None:
    async with serving() as service:

        def fail(ip: str) -> ClientRule:
            raise DirectoryUnavailable("the compiled tables can't be read")

        service.life.routes.client_rule = fail  # type: ignore[method-assign]
        client = await service.dial(b"421 4.3.0")
        assert await client.rest() == b""
        assert service.reception.sessions == 0
