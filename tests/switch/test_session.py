"""Sessions over real sockets: what a client is told, and when, and what becomes of it if it is told nothing."""

from __future__ import annotations

import asyncio
import re

import msgspec
import pytest
from sim.checkers import NOTHING
from sim.store_faults import Fate
from tests.eventloop import on_a_loop
from tests.journal.rig import lay
from tests.switch.scene import newest
from tests.switch.service import ENVELOPE, HEADER, MEMORY, MESSAGE, SMTP, serving, until_soon

from nightmail.journal.records import Accepted, Adopted, Voided
from nightmail.routing.model import ClientRule

HASTY = msgspec.structs.replace(MEMORY, commit_wait_s=0.05, answer_timeout_s=0.05)
QUEUED = re.compile(rb"250 2\.0\.0 Ok: queued as ([0-9A-Z]{1,20})")


@on_a_loop
async def test_a_message_is_taken_with_its_id_and_delivered_with_its_trace() -> None:
    async with serving() as service:
        client = await service.dial()
        assert (await client.say(HEADER))[0].startswith(b"250")
        assert await client.say(ENVELOPE, 2) == [b"250 2.1.0 Ok", b"250 2.1.5 Ok"]
        assert (await client.say(b"DATA\r\n"))[0].startswith(b"354")
        answer = QUEUED.fullmatch((await client.say(MESSAGE[6:]))[0])
        assert answer is not None
        await until_soon(lambda: service.life.is_idle)
        job = service.life.sink.jobs[0]
        assert job.id == answer[1].decode()
        assert job.envelope.sender == "s@example.org"
        accepted = [record for record in service.stage.records(Accepted) if isinstance(record, Accepted)]
        segment = next(data for _, data in service.stage.archive.landed if answer[1] in data)
        assert [record.id for record in accepted] == [job.id]
        assert b"Received: from client.example.org" in segment
        assert segment.endswith(b"Subject: hello\r\n\r\nhello\r\n")
        assert (await client.say(b"QUIT\r\n"))[0].startswith(b"221")
        assert await client.rest() == b""
        assert await service.stage.findings() == NOTHING


@on_a_loop
async def test_nothing_is_answered_before_the_segment_is_known() -> None:
    async with serving() as service:
        client = await service.in_the_middle()
        await client.say(b"DATA\r\n")
        held = service.stage.store.hold_next("put_new")
        client.writer.write(MESSAGE[6:])
        await held.reached()
        held.land()
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.readexactly(1), 0.05)
        held.answer()
        assert QUEUED.fullmatch((await client.hear())[0])


@on_a_loop
async def test_a_client_that_sends_ahead_is_answered_in_order_once_it_is_known() -> None:
    async with serving() as service:
        client = await service.in_the_middle()
        await client.say(b"DATA\r\n")
        held = service.stage.store.hold_next("put_new")
        client.writer.write(MESSAGE[6:] + ENVELOPE + b"DATA\r\n")
        await held.reached()
        held.answer()
        replies = await client.hear(4)
        assert QUEUED.fullmatch(replies[0])
        assert replies[1:3] == [b"250 2.1.0 Ok", b"250 2.1.5 Ok"]
        assert replies[3].startswith(b"354")
        assert QUEUED.fullmatch((await client.say(b"Subject: two\r\n\r\n.\r\n"))[0])


@pytest.mark.parametrize("how", ["abort", "close"])
@on_a_loop
async def test_the_message_of_a_client_that_is_gone_is_voided(how: str) -> None:
    async with serving() as service:
        client = await service.in_the_middle()
        await client.say(b"DATA\r\n")
        held = service.stage.store.hold_next("put_new")
        client.writer.write(MESSAGE[6:])
        await held.reached()
        client.hang_up() if how == "abort" else client.writer.close()
        await until_soon(lambda: service.reception.sessions == 0)
        held.answer()
        await until_soon(lambda: bool(service.stage.records(Voided)))
        assert not service.life.sink.jobs
        assert service.life.parts.counters.voided == 1
        assert service.life.is_idle


@on_a_loop
async def test_a_put_that_hangs_too_long_leaves_its_session_unanswered_and_its_message_voided() -> None:
    async with serving(store_settings=HASTY) as service:
        client = await service.in_the_middle()
        await client.say(b"DATA\r\n")
        held = service.stage.store.hold_next("put_new")
        client.writer.write(MESSAGE[6:])
        await held.reached()
        assert await client.rest() == b""
        assert service.life.parts.counters.unanswered == 1
        held.answer()
        await until_soon(lambda: bool(service.stage.records(Voided)))
        assert not service.life.sink.jobs


@on_a_loop
async def test_who_waits_behind_a_put_that_hangs_hears_451_and_may_go_on() -> None:
    async with serving(store_settings=msgspec.structs.replace(HASTY, answer_timeout_s=60.0)) as service:
        first, second = await service.in_the_middle(), await service.in_the_middle()
        held = service.stage.store.hold_next("put_new")
        first.writer.write(MESSAGE)
        await held.reached()
        heard = await second.say(MESSAGE, 2)
        assert heard[1].startswith(b"451 4.3.0")
        assert (await second.say(b"MAIL FROM:<>\r\n"))[0].startswith(b"451 4.3.0"), "nobody gets stuck behind it"
        held.answer()
        assert QUEUED.fullmatch((await first.hear(2))[1])
        await until_soon(lambda: service.life.switch.fault() is None)
        assert (await second.say(ENVELOPE, 2))[1] == b"250 2.1.5 Ok"


@on_a_loop
async def test_a_store_that_refuses_is_451_and_one_that_is_full_452() -> None:
    async with serving() as service:
        client = await service.in_the_middle()
        service.stage.store.decide_next("put_new", Fate.FAILED)
        assert (await client.say(MESSAGE, 2))[1].startswith(b"451 4.3.0")
        service.life.admission.note_space(29 << 20)
        assert (await client.say(ENVELOPE, 2))[0].startswith(b"452 4.3.1")
        service.life.admission.note_space(1 << 40)
        assert await client.say(ENVELOPE, 2) == [b"250 2.1.0 Ok", b"250 2.1.5 Ok"]


@on_a_loop
async def test_a_large_message_goes_aside_while_it_comes_in() -> None:
    async with serving() as service:
        client = await service.in_the_middle()
        await client.say(b"DATA\r\n")
        line = b"0123456789abcdef" * 63 + b"\r\n"
        body = line * ((8 << 20) // len(line))
        assert QUEUED.fullmatch((await client.say(body + b".\r\n"))[0])
        await until_soon(lambda: service.life.is_idle)
        accepted = next(record for record in service.stage.records(Accepted) if isinstance(record, Accepted))
        assert accepted.body.key == f"queues/mx1.0.1/body/{accepted.id}"
        assert service.stage.archive.contents[accepted.body.key].endswith(b"\r\n" + body)
        assert accepted.body.size_bytes == len(service.stage.archive.contents[accepted.body.key])
        assert max(len(data) for _, data in service.stage.archive.landed) < 4096
        assert service.life.sink.jobs[0].envelope.recipients[0].address == "r@example.net"


@on_a_loop
async def test_of_a_large_message_that_never_ends_nothing_is_left() -> None:
    async with serving() as service:
        client = await service.in_the_middle()
        await client.say(b"DATA\r\n")
        client.writer.write(b"x" * 998 + b"\r\n")
        client.writer.write((b"x" * 998 + b"\r\n") * 3000)
        await client.writer.drain()
        client.hang_up()
        await until_soon(lambda: service.reception.sessions == 0)
        await asyncio.gather(*service.reception._tasks)
        assert not any("/body/" in key for key in service.stage.archive.contents)


@on_a_loop
async def test_a_large_message_is_refused_where_its_body_cannot_be_kept() -> None:
    async with serving() as service:
        client = await service.in_the_middle()
        await client.say(b"DATA\r\n")
        service.stage.store.decide_next("put_body", Fate.FAILED)
        assert (await client.say((b"x" * 998 + b"\r\n") * 2000 + b".\r\n"))[0].startswith(b"451")
        assert (await client.say(ENVELOPE, 2))[1] == b"250 2.1.5 Ok"


@on_a_loop
async def test_a_large_message_whose_queue_was_lost_meanwhile_is_refused_not_lost() -> None:
    async with serving() as service:
        client = await service.in_the_middle()
        await client.say(b"DATA\r\n")
        held = service.stage.store.hold_next("put_body")
        client.writer.write((b"x" * 998 + b"\r\n") * 2000 + b".\r\n")
        await held.reached()
        queue = newest(service.life)
        lay(service.stage.store, queue.journal.next_slot, Adopted(2, "mx9", "x", "", "", ""), epoch=2)
        queue.journal.append(Voided("NONE"), urgent=True)
        await until_soon(lambda: any(queue.name == "mx1.0.2" for queue in service.life.switch.queues))
        held.answer()
        assert (await client.hear())[0].startswith(b"451")
        assert not service.stage.ledger.acknowledged


@on_a_loop
async def test_lmtp_answers_for_each_recipient() -> None:
    async with serving("lmtp") as service:
        client = await service.dial()
        await client.say(b"LHLO client\r\n")
        await client.say(ENVELOPE + b"RCPT TO:<other@example.net>\r\n", 3)
        replies = await client.say(MESSAGE, 3)
        assert QUEUED.match(replies[1])
        assert QUEUED.match(replies[2])


@on_a_loop
async def test_shutting_down_lets_a_message_under_way_get_its_answer() -> None:
    async with serving() as service:
        idle, busy = await service.dial(), await service.in_the_middle()
        await busy.say(b"DATA\r\n")
        held = service.stage.store.hold_next("put_new")
        busy.writer.write(MESSAGE[6:])
        await held.reached()
        service.reception.shut_down()
        assert (await idle.hear())[0].startswith(b"421 4.3.2")
        assert await idle.rest() == b""
        assert service.reception.sessions == 1
        held.answer()
        replies = await busy.hear(2)
        assert QUEUED.fullmatch(replies[0])
        assert replies[1].startswith(b"421 4.3.2")
        assert await busy.rest() == b""


@on_a_loop
async def test_shutting_down_lets_a_transaction_that_has_begun_come_to_its_end() -> None:
    async with serving() as service:
        sending, resetting = await service.in_the_middle(), await service.in_the_middle()
        await sending.say(b"DATA\r\n")
        sending.writer.write(MESSAGE[6:20])
        service.reception.shut_down()
        sending.writer.write(MESSAGE[20:])
        replies = await sending.hear(2)
        assert QUEUED.fullmatch(replies[0])
        assert replies[1].startswith(b"421 4.3.2")
        replies = await resetting.say(b"RSET\r\n", 2)
        assert replies[0].startswith(b"250")
        assert replies[1].startswith(b"421 4.3.2")
        await until_soon(lambda: service.reception.sessions == 0)


@on_a_loop
async def test_who_takes_too_long_over_a_body_hears_so_though_it_goes_on_sending() -> None:
    async with serving() as service:
        slow = await service.in_the_middle()
        await slow.say(b"DATA\r\n")
        service.reception.shut_down()
        service.reception.hurry()
        assert service.reception.sessions == 0
        for _ in range(20):
            slow.writer.write(MESSAGE[6:26] * 1000)
            await slow.writer.drain()
        assert service.reception.parting == 1
        assert (await slow.hear())[0].startswith(b"421 4.3.2")
        assert await slow.rest() == b""
        slow.writer.close()
        await until_soon(lambda: service.reception.parting == 0)


@on_a_loop
async def test_what_is_said_on_ahead_of_the_last_250_does_not_cost_the_client_that_answer() -> None:
    async with serving() as service:
        client = await service.in_the_middle()
        await client.say(b"DATA\r\n")
        held = service.stage.store.hold_next("put_new")
        client.writer.write(MESSAGE[6:] + ENVELOPE)
        await held.reached()
        service.reception.shut_down()
        held.answer()
        client.writer.write(b"NOOP\r\n" * 1000)
        replies = await client.hear(2)
        assert QUEUED.fullmatch(replies[0])
        assert replies[1].startswith(b"421 4.3.2")
        assert await client.rest() == b""


@on_a_loop
async def test_silence_ends_a_session_and_a_message_under_way_does_not() -> None:
    async with serving(smtp=msgspec.structs.replace(SMTP, idle_timeout_s=0.2)) as service:
        busy = await service.in_the_middle()
        await busy.say(b"DATA\r\n")
        held = service.stage.store.hold_next("put_new")
        busy.writer.write(MESSAGE[6:])
        await held.reached()
        silent = await service.dial()
        assert (await silent.hear())[0].startswith(b"421 4.4.2")
        assert await silent.rest() == b""
        assert service.reception.sessions == 1
        held.answer()
        assert QUEUED.fullmatch((await busy.hear())[0])


@on_a_loop
async def test_too_many_sessions_are_turned_away_and_room_is_made_by_leaving() -> None:
    few = msgspec.structs.replace(SMTP, session_limit=2, client_session_limit=2)
    async with serving(smtp=few) as service:
        first, _ = await service.dial(), await service.dial()
        turned_away = await service.dial(b"421 4.3.2")
        assert await turned_away.rest() == b""
        first.hang_up()
        await until_soon(lambda: service.reception.sessions == 1)
        await service.dial()
    async with serving(smtp=msgspec.structs.replace(SMTP, client_session_limit=1)) as service:
        await service.dial()
        await service.dial(b"421 4.7.0")


@on_a_loop
async def test_a_client_that_is_denied_is_told_at_once() -> None:
    async with serving() as service:

        def deny(ip: str) -> ClientRule:
            return "deny"

        service.life.routes.client_rule = deny  # type: ignore[method-assign]
        client = await service.dial(b"554 5.7.1")
        assert await client.rest() == b""
        assert service.reception.sessions == 0


@on_a_loop
async def test_mail_is_put_off_while_no_queue_is_open() -> None:
    async with serving() as service:
        client = await service.dial()
        await client.say(HEADER)
        service.life.switch._newest = None
        assert (await client.say(b"MAIL FROM:<s@example.org>\r\n"))[0].startswith(b"451 4.3.0")
        assert (await client.say(b"NOOP\r\n"))[0].startswith(b"250")
