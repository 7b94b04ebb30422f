from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.delivery.jobs import MESSAGE
from tests.delivery.scenes import Scene, play, told
from tests.delivery.sink import Act, Say, Sink, Step

DELIVERED = ["delivered 250 2.0.0"]


async def send_in_turn(at: Scene, count: int) -> list[list[str]]:
    return [told(await at.send(id=f"0M{n}").end()) for n in range(count)]


def test_messages_in_turn_share_a_session() -> None:
    sink = Sink()

    async def scene(at: Scene) -> None:
        assert await send_in_turn(at, 20) == [DELIVERED] * 20
        assert at.hosts.asked == at.health.opened == 1

    play(sink, scene)
    assert sink.connections == 1
    assert [message.body for message in sink.messages] == [MESSAGE] * 20


def test_a_job_handed_over_as_another_ends_takes_its_session() -> None:
    sink = Sink()

    async def scene(at: Scene) -> None:
        jobs = [at.send(id="0M0")]
        for n in range(1, 10):
            later = asyncio.get_running_loop().create_future()
            finished = jobs[-1].finished

            def then(outcomes, finished=finished, later=later, n=n):  # type: ignore[no-untyped-def]
                finished(outcomes)
                later.set_result(at.send(id=f"0M{n}"))

            jobs[-1].finished = then  # type: ignore[method-assign]  # the scheduler's way to go on
            jobs.append(await later)
        assert told(await jobs[-1].end()) == DELIVERED

    play(sink, scene)
    assert sink.connections == 1
    assert len(sink.messages) == 10


def test_messages_at_once_have_a_session_each_and_leave_them_for_others() -> None:
    sink = Sink()

    async def scene(at: Scene) -> None:
        for _ in range(2):
            jobs = [at.send() for _ in range(5)]
            assert [told(await job.end()) for job in jobs] == [DELIVERED] * 5

    play(sink, scene)
    assert sink.connections == 5


def test_a_session_takes_only_so_many_messages() -> None:
    sink = Sink()
    play(sink, lambda at: send_in_turn(at, 7), messages_per_connection=3)
    assert sink.connections == 3
    assert sink.heard["QUIT"] >= 2


@pytest.mark.parametrize("setting", ["idle_reuse_s", "idle_connections"])
def test_reuse_can_be_turned_off(setting: str) -> None:
    sink = Sink()
    off: Any = {setting: 0}
    play(sink, lambda at: send_in_turn(at, 3), **off)
    assert sink.connections == 3


def test_an_idle_session_says_good_bye_after_its_time() -> None:
    sink = Sink()

    async def scene(at: Scene) -> None:
        await at.send().end()
        await sink.saw("QUIT")
        await at.send().end()

    play(sink, scene, idle_reuse_s=0.05)
    assert sink.connections == 2


def test_an_idle_session_that_the_peer_closed_is_not_used() -> None:
    sink = Sink()

    async def scene(at: Scene) -> None:
        await at.send().end()
        sink.drop_all()
        await sink.saw("closed")
        assert told(await at.send().end()) == DELIVERED

    play(sink, scene)
    assert sink.connections == 2


@pytest.mark.parametrize(
    "end",
    [Act.CLOSE, Act.RESET, Say("421 4.4.2 idle too long\r\n", then=Act.CLOSE)],
    ids=["closed", "reset", "421"],
)
def test_a_session_that_was_stale_is_replaced_without_a_word(end: Step) -> None:
    """The peer gives up just as our first command is on its way."""
    sink = Sink({"MAIL": ["250 2.1.0 Ok", end]})

    async def scene(at: Scene) -> None:
        await at.send().end()
        job = at.send(id="0M2")
        assert told(await job.end()) == DELIVERED
        assert job.marks == ["may_finish", "finishing", "finished"]
        assert at.health.failed == []

    play(sink, scene)
    assert sink.connections == 2
    assert len(sink.messages) == 2


def test_421_while_idle_is_no_failure_of_the_destination() -> None:
    sink = Sink({"message": [Say("250 2.0.0 Ok\r\n421 4.4.2 bye\r\n", then=Act.CLOSE)]})

    async def scene(at: Scene) -> None:
        assert told(await at.send().end())[0].startswith(("delivered", "deferred"))
        await sink.saw("closed")
        assert told(await at.send().end()) == DELIVERED

    play(sink, scene)


def test_a_reused_session_that_breaks_after_an_answer_gets_another_try_on_a_new_one() -> None:
    sink = Sink({"RCPT": ["250 2.1.5 Ok", Act.CLOSE]}, extensions=("SIZE 0",))

    async def scene(at: Scene) -> None:
        await at.send().end()
        assert told(await at.send(id="0M2").end()) == DELIVERED

    play(sink, scene)
    assert sink.connections == 2


def test_a_session_after_a_refusal_is_used_again() -> None:
    sink = Sink({"RCPT": ["550 5.1.1 nobody"]})
    play(sink, lambda at: send_in_turn(at, 2))
    assert sink.connections == 1
