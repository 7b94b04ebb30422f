"""Addresses that have to be looked up first: a session, a round, a report wait for the answer, and nobody else does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

import pytest
from sim.life import Life, Routes
from sim.loop import in_virtual_time, until
from tests.eventloop import on_a_loop
from tests.switch.scene import Stage, to
from tests.switch.service import HEADER, MESSAGE, serving, until_soon

from nightmail.errors import NotKnownYet, TemporaryFailure
from nightmail.mail.reply import Reply
from nightmail.routing.resolution import UNKNOWN_NOW
from nightmail.routing.route import Route
from nightmail.routing.snapshot import Accepted

FAILS = "fails@example.net"
NOBODY = Reply(550, "5.1.1", "no such user here")


class Directory(Routes):
    """A snapshot that knows an address once it was looked up; with `holds`, lookups wait for `answer`.

    While it is out of reach, lookups end without an answer.
    """

    def __init__(self, *, holds: bool = False) -> None:
        super().__init__()
        self.holds = holds
        self.is_out_of_reach = False
        self.known: set[str] = set()
        self.asked: list[str] = []
        self._waiting: list[tuple[Collection[str], Callable[[], None]]] = []

    def join(self, life: Life) -> Directory:
        """Be what a switch routes by."""
        life.parts.routing.snapshot = self
        life.parts.routing.lookups = self
        return self

    def accept(self, address: str, *, may_relay: bool) -> Accepted | Reply:
        if self.is_out_of_reach:
            return UNKNOWN_NOW
        self._need(address)
        return super().accept(address, may_relay=may_relay)

    def route(self, address: str) -> Route:
        if self.is_out_of_reach and address not in self.routes:
            raise TemporaryFailure(UNKNOWN_NOW, "no replica of the directory can be asked")
        self._need(address)
        return super().route(address)

    def look_up(self, keys: Collection[str], found: Callable[[], None]) -> None:
        self.asked.extend(keys)
        self._waiting.append((keys, found))
        if not self.holds:
            asyncio.get_running_loop().call_soon(self.answer)

    def answer(self) -> None:
        """Answer everything that was asked."""
        waiting, self._waiting = self._waiting, []
        for keys, found in waiting:
            self.known.update(keys)
            found()

    def standing(self) -> dict[str, str]:
        """It is there."""
        return {"memory": "ok"}

    async def run(self) -> None:
        """Nothing has to be kept."""

    def _need(self, address: str) -> None:
        if address not in self.known:
            raise NotKnownYet((address,))


@on_a_loop
async def test_a_session_goes_on_where_it_was_once_the_recipient_is_known() -> None:
    async with serving() as service:
        directory = Directory(holds=True).join(service.life)
        directory.taken["no@example.net"] = NOBODY
        client = await service.dial()
        await client.say(HEADER)
        client.writer.write(
            b"MAIL FROM:<s@example.org>\r\nRCPT TO:<r@example.net>\r\nRCPT TO:<no@example.net>\r\n" + MESSAGE[:6]
        )
        await until_soon(lambda: directory.asked == ["r@example.net"])
        other = await service.dial()
        assert (await other.say(HEADER))[0].startswith(b"250")
        directory.answer()
        await until_soon(lambda: directory.asked == ["r@example.net", "no@example.net"])
        directory.answer()
        assert [line[:3] for line in await client.hear(4)] == [b"250", b"250", b"550", b"354"]
        assert (await client.say(MESSAGE[6:]))[0].startswith(b"250")
        await until_soon(lambda: len(service.life.sink.jobs) == 1)


@on_a_loop
async def test_a_client_that_is_gone_before_the_answer_is_forgotten() -> None:
    async with serving() as service:
        directory = Directory(holds=True).join(service.life)
        client = await service.dial()
        await client.say(HEADER)
        client.writer.write(b"MAIL FROM:<s@example.org>\r\nRCPT TO:<r@example.net>\r\n")
        await until_soon(lambda: bool(directory.asked))
        client.hang_up()
        await until_soon(lambda: service.reception.sessions == 0)
        directory.answer()
        assert (await (await service.dial()).say(HEADER))[0].startswith(b"250")


@on_a_loop
async def test_a_switch_that_stops_answers_whoever_waits_for_a_lookup() -> None:
    async with serving() as service:
        directory = Directory(holds=True).join(service.life)
        client = await service.dial()
        await client.say(HEADER)
        client.writer.write(b"MAIL FROM:<s@example.org>\r\nRCPT TO:<r@example.net>\r\nRSET\r\n")
        await until_soon(lambda: bool(directory.asked))
        service.reception.shut_down()
        directory.answer()
        assert [line[:3] for line in await client.hear(4)] == [b"250", b"250", b"250", b"421"]


@in_virtual_time
async def test_a_message_whose_route_is_not_known_any_more_is_taken_up_from_the_log_at_once() -> None:
    stage = Stage()
    life = await stage.life()
    directory = Directory().join(life)
    life.submit("M1", envelope=to("a@example.net", "b@example.net"))
    began = asyncio.get_running_loop().time()
    await until(lambda: life.is_idle)
    assert asyncio.get_running_loop().time() - began < 1.0
    assert sorted(directory.asked) == ["a@example.net", "b@example.net"]
    assert stage.ledger.delivered["M1", 0] == 1
    assert stage.ledger.delivered["M1", 1] == 1
    await life.stop()


@in_virtual_time
async def test_whom_a_report_goes_to_is_looked_up_for_it() -> None:
    stage = Stage()
    life = await stage.life()
    directory = Directory().join(life)
    directory.known.add(FAILS)
    directory.taken["sender@example.org"] = Accepted(("one@example.org", "two@example.org"), "sender@example.org")
    life.sink.answers[FAILS] = "failed"
    life.submit("M1", envelope=to(FAILS))
    await until(lambda: life.is_idle)
    [report] = stage.reports()
    assert [each.address for each in report.envelope.recipients] == ["one@example.org", "two@example.org"]
    await life.stop()


@pytest.mark.parametrize("is_known", [True, False])
@in_virtual_time
async def test_nobody_is_told_whose_address_nobody_has(is_known: bool) -> None:
    stage = Stage()
    life = await stage.life()
    directory = Directory().join(life)
    directory.known.update([FAILS, *(["sender@example.org"] if is_known else [])])
    directory.taken["sender@example.org"] = NOBODY
    life.sink.answers[FAILS] = "failed"
    life.submit("M1", envelope=to(FAILS))
    await until(lambda: life.is_idle)
    assert not stage.reports()
    assert len(stage.settled("M1")) == 1
    await life.stop()


@in_virtual_time
async def test_what_is_held_whole_is_never_looked_up() -> None:
    stage = Stage()
    life = await stage.life()
    with pytest.raises(RuntimeError):
        life.parts.routing.look_up(["a@example.net"], lambda: None)
    await life.stop()
