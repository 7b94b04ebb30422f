from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from tests.delivery.jobs import MESSAGE, RecordedJob, StoredBody
from tests.delivery.scenes import LMTP, QUICK, Scene, play, send_one, told
from tests.delivery.sink import EXTENSIONS, Act, Say, Sink, Step

from nightmail.net.addresses import Target

PLAIN = ("SIZE 0",)
BEFORE_THE_DOT = ["MAIL", "RCPT", "DATA"]


def quick_settings(**more: float) -> dict[str, float]:
    return {**QUICK, **more}


@pytest.mark.parametrize("step", ["greeting", "EHLO", *BEFORE_THE_DOT])
@pytest.mark.parametrize("act", list(Act), ids=lambda act: act.name)
def test_trouble_before_the_final_dot_is_deferred(step: str, act: Act) -> None:
    sink = Sink({step: [act]}, extensions=PLAIN)
    (outcome,) = send_one(sink, **QUICK)
    assert told([outcome]) == ["deferred 451 4.4.2"]
    assert ("timed out" if act is Act.HANG else "lost connection") in outcome.reply.text
    assert sink.messages == []


@pytest.mark.parametrize("act", list(Act), ids=lambda act: act.name)
def test_j8_no_answer_to_the_final_dot_is_ambiguous(act: Act) -> None:
    sink = Sink({"message": [act]})

    async def scene(at: Scene) -> None:
        job = at.send()
        (outcome,) = await job.end()
        assert told([outcome]) == ["ambiguous 451 4.4.2"]
        assert "waiting for the answer to the message" in outcome.reply.text
        assert job.marks == ["may_finish", "finishing", "finished"]

    play(sink, scene, **QUICK)
    assert len(sink.messages) == 1


def test_j8_ambiguous_are_only_those_that_were_taken() -> None:
    sink = Sink({"RCPT": ["550 5.1.1 nobody", "250 2.1.5 Ok"], "message": [Act.CLOSE]})
    outcomes = send_one(sink, "a@example.net", "b@example.net", "c@example.net", recipients_per_transaction=2)
    assert told(outcomes)[:2] == ["failed 550 5.1.1", "ambiguous 451 4.4.2"]
    assert outcomes[2].kind == "deferred"


def test_lmtp_answers_that_are_missing_are_ambiguous() -> None:
    sink = Sink({"message": ["250 2.0.0 Ok", Act.CLOSE]}, lmtp=True)
    outcomes = send_one(sink, "a@example.net", "b@example.net", route=LMTP)
    assert told(outcomes) == ["delivered 250 2.0.0", "ambiguous 451 4.4.2"]


def test_nonsense_after_the_final_dot_is_ambiguous() -> None:
    assert told(send_one(Sink({"message": ["what a lovely message"]}))) == ["ambiguous 451 4.5.0"]


@pytest.mark.parametrize("step", ["greeting", "EHLO", *BEFORE_THE_DOT])
@pytest.mark.parametrize(
    "nonsense",
    [
        "hello",
        "999 what",
        "25",
        "250-first\r\n550 changed",
        "\x00\xff\x80",
        "250" + "-x" * 5000,
        "220 ok\r\n220 ok\r\n220 ok",
    ],
    ids=["text", "code", "short", "changing", "binary", "endless line", "too many"],
)
def test_nonsense_before_the_final_dot_is_deferred(step: str, nonsense: str) -> None:
    sink = Sink({step: [nonsense]}, extensions=PLAIN)
    (outcome,) = send_one(sink, **quick_settings(envelope_timeout_s=1))
    assert outcome.kind == "deferred"
    assert outcome.reply.enhanced in {"4.5.0", "4.4.2"}
    assert sink.messages == []


def test_an_endless_reply_is_cut_off() -> None:
    sink = Sink({"EHLO": [Say("250-more\r\n" * 1000, endless=True)]})
    (outcome,) = send_one(sink)
    assert told([outcome]) == ["deferred 451 4.5.0"]


@pytest.mark.parametrize("step", ["greeting", "EHLO", "MAIL"])
def test_a_peer_that_drips_has_no_more_time_than_one_that_is_silent(step: str) -> None:
    sink = Sink({step: [Say("2", endless=True)]}, extensions=PLAIN)
    (outcome,) = send_one(sink, **QUICK)
    assert told([outcome]) == ["deferred 451 4.4.2"]


def test_a_peer_that_drips_answers_is_bounded_in_total() -> None:
    class Slow(Sink):
        async def _count(self, step: str) -> None:
            await super()._count(step)
            if step == "RCPT":
                await asyncio.sleep(0.1)

    sink = Slow(extensions=PLAIN)
    recipients = [f"r{n}@example.net" for n in range(50)]
    outcomes = send_one(sink, *recipients, **quick_settings(envelope_timeout_s=5, transaction_timeout_s=0.4))
    assert {outcome.kind for outcome in outcomes} == {"deferred"}
    assert sink.heard["RCPT"] < 10


@pytest.mark.parametrize("extensions", [EXTENSIONS, PLAIN], ids=["pipelining", "plain"])
def test_replies_may_come_byte_by_byte(extensions: tuple[str, ...]) -> None:
    script: dict[str, list[Step]] = {
        "greeting": [Say("220-sink\r\n220 ready\r\n", piece_bytes=1)],
        "MAIL": [Say("250-2.1.0 first\r\n250 2.1.0 second\r\n", piece_bytes=1)],
        "message": [Say("250-2.0.0 first\r\n250 2.0.0 second\r\n", piece_bytes=1)],
    }
    (outcome,) = send_one(Sink(script, extensions=extensions))
    assert (outcome.kind, outcome.reply.text) == ("delivered", "first\nsecond")


def test_a_refusal_amid_the_message_ends_the_session_without_a_final_dot() -> None:
    sink = Sink({"body": [Say("552 5.3.4 enough\r\n", then=Act.HANG)]})
    assert told(send_one(sink, body=b"x" * 20_000_000, **QUICK)) == ["failed 552 5.3.4"]
    assert sink.messages == []


def test_an_answer_ahead_of_the_final_dot_is_never_taken_for_its_answer() -> None:
    sink = Sink({"DATA": ["354 go on\r\n250 2.0.0 taken"]})
    assert told(send_one(sink)) == ["deferred 451 4.5.0"]


@pytest.mark.parametrize(
    ("step", "reply", "expected"),
    [
        ("greeting", "554 5.3.2 no service", "deferred 554 5.3.2"),
        ("greeting", "521 5.3.2 no mail here", "failed 521 5.3.2"),
        ("greeting", "450 4.3.2 later", "deferred 450 4.3.2"),
        ("greeting", "421 4.3.2 busy", "deferred 421 4.3.2"),
        ("EHLO", "421 4.3.2 busy", "deferred 421 4.3.2"),
        ("EHLO", "451 4.3.0 later", "deferred 451 4.3.0"),
    ],
)
def test_a_peer_that_wants_no_session_is_told_of(step: str, reply: str, expected: str) -> None:
    sink = Sink({step: [reply]})

    async def scene(at: Scene) -> None:
        (outcome,) = await at.send().end()
        assert told([outcome]) == [expected]
        assert outcome.relay == f"mx1.example.net[127.0.0.1]:{sink.port}"
        assert at.health.failed == [reply]
        assert at.health.opened == 0

    play(sink, scene)


def test_a_peer_that_refuses_ehlo_and_helo_fails_the_message() -> None:
    sink = Sink({"EHLO": ["550 5.7.1 no"], "HELO": ["550 5.7.1 never"]})
    assert told(send_one(sink)) == ["failed 550 5.7.1"]


@pytest.mark.parametrize("step", BEFORE_THE_DOT)
@pytest.mark.parametrize("extensions", [EXTENSIONS, PLAIN], ids=["pipelining", "plain"])
def test_421_is_deferred_and_told_of_the_destination(step: str, extensions: tuple[str, ...]) -> None:
    sink = Sink({step: [Say("421 4.3.2 going down\r\n", then=Act.CLOSE)]}, extensions=extensions)

    async def scene(at: Scene) -> None:
        assert told(await at.send("a@example.net", "b@example.net").end()) == ["deferred 421 4.3.2"] * 2
        assert at.health.failed == ["421 4.3.2 going down"]

    play(sink, scene)


def test_421_to_the_final_dot_is_an_answer() -> None:
    sink = Sink({"message": [Say("421 4.3.2 going down\r\n", then=Act.CLOSE)]})

    async def scene(at: Scene) -> None:
        assert told(await at.send().end()) == ["deferred 421 4.3.2"]
        assert at.health.failed == ["421 4.3.2 going down"]

    play(sink, scene)


def test_nobody_listening_is_deferred_and_told_of_the_destination() -> None:
    async def scene(at: Scene) -> None:
        (outcome,) = await at.send().end()
        assert (outcome.kind, outcome.relay) == ("deferred", "")
        assert str(outcome.reply) == "451 4.4.1 connect to mx.example.net[127.0.0.1]:1: connection refused"
        assert len(at.health.failed) == 1

    play([], scene, hosts=[Target("mx.example.net", "127.0.0.1", 1)])


@pytest.mark.parametrize("step", ["greeting", "EHLO", *BEFORE_THE_DOT])
@pytest.mark.parametrize("act", [*Act, "421 4.3.2 busy"], ids=str)
def test_the_next_mail_host_is_tried(step: str, act: Step) -> None:
    first, second = Sink({step: [act]}, extensions=PLAIN), Sink()

    async def scene(at: Scene) -> None:
        (outcome,) = await at.send().end()
        assert told([outcome]) == ["delivered 250 2.0.0"]
        assert outcome.relay.startswith("mx2.example.net")

    play([first, second], scene, **QUICK)
    assert first.messages == []
    assert len(second.messages) == 1


def test_a_host_that_does_not_answer_the_dial_gives_way_to_the_next() -> None:
    sink = Sink()

    async def scene(at: Scene) -> None:
        at.hosts.told = [Target("gone", "127.0.0.1", 1), Target("here", "127.0.0.1", sink.port)]
        assert (await at.send().the_outcome()).relay.startswith("here")
        assert at.health.failed == []

    play(sink, scene)


def test_the_next_host_gets_only_those_without_an_outcome() -> None:
    first = Sink({"RCPT": ["550 5.1.1 nobody", Act.CLOSE]}, extensions=PLAIN)
    second = Sink()
    outcomes = send_one([first, second], "a@example.net", "b@example.net", "c@example.net")
    assert told(outcomes) == ["failed 550 5.1.1", "delivered 250 2.0.0", "delivered 250 2.0.0"]
    assert second.messages[0].rcpts == ["<b@example.net>", "<c@example.net>"]


def test_a_message_is_never_offered_again_after_its_final_dot() -> None:
    first, second = Sink({"message": [Act.CLOSE]}), Sink()
    assert told(send_one([first, second])) == ["ambiguous 451 4.4.2"]
    assert second.connections == 0


def test_only_so_many_hosts_are_tried_in_one_attempt() -> None:
    sinks = [Sink({"MAIL": [Act.CLOSE]}) for _ in range(4)]
    assert told(send_one(sinks, sessions_per_attempt=3)) == ["deferred 451 4.4.2"]
    assert [sink.connections for sink in sinks] == [1, 1, 1, 0]


def test_closing_defers_what_has_no_session_and_waits_for_what_has() -> None:
    hanging, sink = Sink({"greeting": [Act.HANG]}), Sink()

    async def scene(at: Scene) -> None:
        opening = at.send()
        await hanging.saw("greeting")
        at.hosts.told = at.hosts.told[1:]  # type: ignore[index]  # they are a list here
        busy = at.send(id="0M2")
        await sink.saw("MAIL")
        await at.transport.close()
        assert told(await opening.end()) == ["deferred 451 4.3.2"]
        assert told(await busy.end()) == ["delivered 250 2.0.0"]
        assert told(await at.send(id="0M3").end()) == ["deferred 451 4.3.2"]

    play([hanging, sink], scene, close_timeout_s=5)


def test_closing_gives_up_what_does_not_end() -> None:
    sink = Sink({"message": [Act.HANG]})

    async def scene(at: Scene) -> None:
        job = at.send()
        await sink.saw("message")
        await at.transport.close()
        assert told(await job.end()) == ["ambiguous 451 4.3.2"]

    play(sink, scene, close_timeout_s=0.05)


@pytest.mark.parametrize("is_reused", [False, True], ids=["new session", "idle session"])
def test_a_fault_of_our_own_defers_once_and_leaves_the_session_usable(is_reused: bool) -> None:
    sink = Sink()

    async def scene(at: Scene) -> None:
        if is_reused:
            await at.send().end()
        strange = at.send(sender=7)  # which no command can be made of
        assert told(await strange.end()) == ["deferred 451 4.3.0"]
        assert told(await at.send().end()) == ["delivered 250 2.0.0"]
        await at.transport.close()
        assert strange.marks == ["finished"]

    play(sink, scene)
    assert sink.connections == 1


@pytest.mark.parametrize("with_uvloop", [True, False])
@pytest.mark.parametrize("at_hand", [True, False])
def test_a_fault_of_our_own_in_the_step_that_writes_the_dot_defers_at_once(at_hand: bool, with_uvloop: bool) -> None:
    class Faulty(RecordedJob):
        def may_finish(self) -> bool:
            raise RuntimeError("nobody foresaw this")

    sink = Sink()

    async def scene(at: Scene) -> None:
        job = Faulty(body=StoredBody(MESSAGE, at_hand=at_hand))
        at.transport.deliver(at.route, job)
        assert told(await job.end()) == ["deferred 451 4.3.0"]

    play(sink, scene, with_uvloop=with_uvloop)
    assert sink.messages == []


def test_the_right_to_deliver_is_asked_for_when_the_dot_is_written_and_not_when_it_is_planned() -> None:
    sink = Sink()

    class Planned:
        """A body; the right to deliver it lapses in the turn of the loop in which its end is planned."""

        size_bytes = len(MESSAGE)

        def __init__(self) -> None:
            self.lapse: Callable[[], None] | None = None

        @property
        def in_memory(self) -> memoryview:
            if self.lapse is not None:
                asyncio.get_running_loop().call_soon(self.lapse)
            return memoryview(MESSAGE)

    async def scene(at: Scene) -> None:
        job, body = RecordedJob(), Planned()
        job.body = body  # type: ignore[assignment]
        body.lapse = partial(setattr, job, "right", False)
        at.transport.deliver(at.route, job)
        assert told(await job.end()) == ["deferred 451 4.3.0"]
        assert "finishing" not in job.marks

    play(sink, scene)
    assert sink.messages == []


def test_what_was_being_read_for_a_refused_transaction_is_not_sent_in_the_next() -> None:
    content = b"".join(b"%07d\r\n" % number for number in range(100_000))

    class GatedBody(StoredBody):
        """The second read waits until the next transaction has read for itself."""

        async def read(self, offset: int, size: int) -> bytes:
            found = await super().read(offset, size)
            if len(self.reads) == 2:
                await gate.wait()
            elif len(self.reads) == 4:
                gate.set()
                await asyncio.sleep(0.1)
            return found

    gate = asyncio.Event()
    sink = Sink({"BDAT": ["452 4.3.1 not now"]}, extensions=("PIPELINING", "CHUNKING", "SIZE 0"))

    async def scene(at: Scene) -> None:
        job = RecordedJob("alice@example.org", "bob@example.org", body=GatedBody(content, at_hand=False))
        at.transport.deliver(at.route, job)
        assert told(await job.end()) == ["deferred 452 4.3.1", "delivered 250 2.0.0"]

    play(sink, scene, recipients_per_transaction=1, chunking=True)
    assert [message.body for message in sink.messages] == [content]
