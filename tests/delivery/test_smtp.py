from __future__ import annotations

from pathlib import Path

import pytest
from tests.delivery.jobs import MESSAGE, StoredBody
from tests.delivery.scenes import LMTP, QUICK, Scene, play, send_one, told
from tests.delivery.sink import EXTENSIONS, Act, Sink

from nightmail.errors import Corrupt, PermanentFailure, StoreUnavailable, TemporaryFailure
from nightmail.mail.envelope import NOTIFY_FAILURE, NOTIFY_SUCCESS, Recipient
from nightmail.mail.reply import Reply
from nightmail.net.addresses import Target

SIZES = [0, 1, 100, 65_536, 65_537, 262_144, 262_145, 1_000_000]
PLAIN = ("SIZE 0",)


def lines_of(size: int) -> bytes:
    """A message of this size with dots where they hurt."""
    return (b".line that begins with a dot\r\n..and two\r\n" * (size // 40 + 1))[: max(size - 2, 0)] + b"\r\n" * (
        size > 1
    )


@pytest.mark.parametrize("with_uvloop", [True, False])
def test_a_message_is_delivered(with_uvloop: bool) -> None:
    sink = Sink()
    (outcome,) = send_one(sink, with_uvloop=with_uvloop)
    assert told([outcome]) == ["delivered 250 2.0.0"]
    assert outcome.relay == f"mx1.example.net[127.0.0.1]:{sink.port}"
    assert outcome.connect_s > 0
    assert sink.messages[0].body == MESSAGE
    assert sink.messages[0].rcpts == ["<alice@example.org>"]


@pytest.mark.parametrize("extensions", [EXTENSIONS, PLAIN], ids=["pipelining", "plain"])
def test_recipients_are_settled_one_by_one(extensions: tuple[str, ...]) -> None:
    sink = Sink({"RCPT": ["250 2.1.5 Ok", "550 5.1.1 nobody", "450 4.2.1 busy"]}, extensions=extensions)
    outcomes = send_one(sink, "a@example.net", "b@example.net", "c@example.net", "d@example.net")
    assert told(outcomes) == ["delivered 250 2.0.0", "failed 550 5.1.1", "deferred 450 4.2.1", "delivered 250 2.0.0"]
    assert sink.messages[0].rcpts == ["<a@example.net>", "<d@example.net>"]


@pytest.mark.parametrize("extensions", [EXTENSIONS, PLAIN], ids=["pipelining", "plain"])
@pytest.mark.parametrize(
    ("step", "reply", "expected"),
    [
        ("MAIL", "550 5.7.1 not you", "failed 550 5.7.1"),
        ("MAIL", "450 4.7.1 not now", "deferred 450 4.7.1"),
        ("RCPT", "550 5.1.1 nobody", "failed 550 5.1.1"),
        ("RCPT", "452 4.5.3 too many", "deferred 452 4.5.3"),
        ("DATA", "554 5.7.1 no", "failed 554 5.7.1"),
        ("DATA", "451 4.7.1 later", "deferred 451 4.7.1"),
        ("message", "554 5.6.0 not that", "failed 554 5.6.0"),
        ("message", "451 4.3.0 no room", "deferred 451 4.3.0"),
        ("message", "554 a refusal without a status", "failed 554"),
    ],
)
def test_a_refusal_is_the_outcome_and_the_session_goes_on(
    step: str, reply: str, expected: str, extensions: tuple[str, ...]
) -> None:
    sink = Sink({step: [reply]}, extensions=extensions)

    async def scene(at: Scene) -> None:
        assert told(await at.send().end()) == [expected]
        assert told(await at.send(id="0M2").end()) == ["delivered 250 2.0.0"]
        assert at.health.failed == []

    play(sink, scene)
    assert sink.connections == 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("at_hand", [True, False], ids=["at hand", "read"])
@pytest.mark.parametrize("chunking", [True, False], ids=["BDAT", "DATA"])
def test_a_message_of_any_size_arrives_whole(size: int, at_hand: bool, chunking: bool) -> None:
    sink = Sink(extensions=(*EXTENSIONS, "CHUNKING"))
    body = StoredBody(lines_of(size), at_hand=at_hand)
    assert told(send_one(sink, body=body, chunking=chunking)) == ["delivered 250 2.0.0"]
    assert sink.messages[0].body.removesuffix(b"\r\n") == lines_of(size).removesuffix(b"\r\n")
    assert bool(sink.heard["DATA"]) is not chunking
    assert all(length <= 256 * 1024 for _, length in body.reads)


def test_lmtp_gives_each_recipient_its_own_answer() -> None:
    sink = Sink({"message": ["250 2.0.0 Ok", "452 4.2.2 full", "550 5.2.1 closed"]}, lmtp=True)
    outcomes = send_one(sink, "a@example.net", "b@example.net", "c@example.net", route=LMTP)
    assert told(outcomes) == ["delivered 250 2.0.0", "deferred 452 4.2.2", "failed 550 5.2.1"]
    assert sink.heard["LHLO"] == 1


def test_lmtp_goes_over_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "lmtp")
    sink = Sink(lmtp=True, unix=path)
    sink.port = 0
    (outcome,) = send_one(sink, route=LMTP, hosts=[Target("unix", path, 0)])
    assert told([outcome]) == ["delivered 250 2.0.0"]
    assert outcome.relay == f"unix[{path}]"


def test_a_peer_that_knows_no_ehlo_is_greeted_with_helo() -> None:
    sink = Sink({"EHLO": ["502 5.5.2 what?"]})
    assert told(send_one(sink)) == ["delivered 250 2.0.0"]
    assert sink.messages[0].mail == "<sender@example.org>"


@pytest.mark.parametrize(
    ("how", "status"), [({"eight_bit": True}, "failed 554 5.6.3"), ({"utf8_headers": True}, "failed 553 5.6.7")]
)
def test_what_the_peer_cannot_take_fails_without_being_offered(how: dict[str, bool], status: str) -> None:
    sink = Sink(extensions=("PIPELINING",))

    async def scene(at: Scene) -> None:
        jobs = [at.send(id=f"0M{n}", **how) for n in range(3)]
        assert [told(await job.end()) for job in jobs] == [[status]] * 3
        assert told(await at.send().end()) == ["delivered 250 2.0.0"]

    play(sink, scene)
    assert sink.heard["MAIL"] == 1


def test_only_recipients_that_need_smtputf8_fail_for_the_lack_of_it() -> None:
    outcomes = send_one(Sink(extensions=("PIPELINING",)), "älter@example.net", "b@example.net")
    assert told(outcomes) == ["failed 553 5.6.7", "delivered 250 2.0.0"]


def test_a_message_over_the_peers_limit_fails_without_being_offered() -> None:
    sink = Sink(extensions=("SIZE 10",))
    assert told(send_one(sink)) == ["failed 552 5.3.4"]
    assert sink.heard["MAIL"] == 0


def test_an_address_with_a_line_end_is_never_sent() -> None:
    sink = Sink()
    outcomes = send_one(sink, "a@example.net\r\nRCPT TO:<b@example.net>")
    assert told(outcomes) == ["failed 553 5.1.3"]
    assert sink.heard["RCPT"] == 0


@pytest.mark.parametrize(
    ("extensions", "recipient", "without"),
    [
        (EXTENSIONS, Recipient("a@example.net", notify=NOTIFY_SUCCESS), False),
        (PLAIN, Recipient("a@example.net", notify=NOTIFY_SUCCESS | NOTIFY_FAILURE), True),
        (PLAIN, Recipient("a@example.net", orcpt="rfc822;b@example.net"), True),
        (PLAIN, Recipient("a@example.net"), False),
    ],
)
def test_a_relay_that_will_not_report_is_told_of(
    extensions: tuple[str, ...], recipient: Recipient, without: bool
) -> None:
    (outcome,) = send_one(Sink(extensions=extensions), recipient)
    assert outcome.relayed_without_dsn is without


def test_recipients_go_in_several_transactions_of_one_session() -> None:
    sink = Sink()
    outcomes = send_one(sink, *(f"r{n}@example.net" for n in range(25)), recipients_per_transaction=10)
    assert {outcome.kind for outcome in outcomes} == {"delivered"}
    assert [len(message.rcpts) for message in sink.messages] == [10, 10, 5]
    assert sink.connections == 1


@pytest.mark.parametrize(
    ("limits", "batches"),
    [
        ("LIMITS RCPTMAX=2", [["a@x.example", "b@y.example"], ["c@x.example", "d@z.example"]]),
        ("LIMITS RCPTDOMAINMAX=1", [["a@x.example", "c@x.example"], ["b@y.example"], ["d@z.example"]]),
    ],
)
def test_the_limits_that_a_peer_states_are_honoured(limits: str, batches: list[list[str]]) -> None:
    sink = Sink(extensions=(*EXTENSIONS, limits))
    outcomes = send_one(sink, "a@x.example", "b@y.example", "c@x.example", "d@z.example")
    assert {outcome.kind for outcome in outcomes} == {"delivered"}
    assert [[rcpt.strip("<>") for rcpt in message.rcpts] for message in sink.messages] == batches


def test_a_peer_that_takes_one_message_a_session_gets_a_session_for_each() -> None:
    sink = Sink(extensions=(*EXTENSIONS, "LIMITS MAILMAX=1 RCPTMAX=1"))
    outcomes = send_one(sink, "a@example.net", "b@example.net", "c@example.net")
    assert {outcome.kind for outcome in outcomes} == {"delivered"}
    assert sink.connections == 3


def test_recipients_that_are_too_many_go_with_the_next_transaction() -> None:
    sink = Sink({"RCPT": ["250 2.1.5 Ok", "452 4.5.3 too many", "452 too many"]})
    outcomes = send_one(sink, "a@example.net", "b@example.net", "c@example.net")
    assert {outcome.kind for outcome in outcomes} == {"delivered"}
    assert [len(message.rcpts) for message in sink.messages] == [1, 2]


def test_j6_a_lapsed_right_breaks_off_before_the_final_dot() -> None:
    sink = Sink()

    async def scene(at: Scene) -> list[str]:
        job = at.send()
        job.right = False
        assert told(await job.end()) == ["deferred 451 4.3.0"]
        await sink.saw("closed")
        return job.marks

    assert play(sink, scene) == ["may_finish", "finished"]
    assert sink.messages == []


def test_j8_finishing_is_marked_once_everything_but_the_last_write_has_left() -> None:
    sink = Sink()

    async def scene(at: Scene) -> list[str]:
        job = at.send(body=b"x" * 300_000)
        await job.end()
        return job.marks

    assert play(sink, scene) == ["may_finish", "finishing", "finished"]


def test_the_final_dot_waits_until_the_peer_has_read_the_message() -> None:
    """The peer reads nothing: with the buffer never empty, the right to deliver is not even asked for."""
    sink = Sink({"body": [Act.HANG]})

    async def scene(at: Scene) -> list[str]:
        job = at.send(body=b"x" * 30_000_000)
        (outcome,) = await job.end()
        assert outcome.kind == "deferred"
        assert "timed out while sending the message" in outcome.reply.text
        return job.marks

    assert play(sink, scene, **{**QUICK, "data_block_timeout_s": 0.6}) == ["finished"]


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), Corrupt("body/0M1", 7, "wrong checksum")])
def test_a_message_that_cannot_be_read_is_deferred_and_never_ended(failure: Exception) -> None:
    sink = Sink()
    outcomes = send_one(sink, body=StoredBody(b"x" * 300_000, at_hand=False, failure=failure))
    assert told(outcomes) == ["deferred 451 4.3.0"]
    assert sink.messages == []


def test_a_message_that_is_shorter_than_stored_is_deferred_and_never_ended() -> None:
    sink = Sink()
    body = StoredBody(b"x" * 300_000, at_hand=False)
    body.size_bytes = 300_001
    assert told(send_one(sink, body=body)) == ["deferred 451 4.3.0"]
    assert sink.messages == []


def test_dns_trouble_is_deferred_and_told_of_the_destination() -> None:
    async def scene(at: Scene) -> None:
        assert told(await at.send().end()) == ["deferred 451 4.4.3"]
        assert at.health.failed == ["451 4.4.3 SERVFAIL"]

    play([], scene, hosts=TemporaryFailure(Reply(451, "4.4.3", "SERVFAIL")))


def test_a_domain_that_takes_no_mail_fails_and_is_no_trouble_of_the_destination() -> None:
    async def scene(at: Scene) -> None:
        assert told(await at.send().end()) == ["failed 556 5.1.10"]
        assert at.health.failed == []

    play([], scene, hosts=PermanentFailure(Reply(556, "5.1.10", "null MX")))


def test_the_end_never_comes_from_within_deliver() -> None:
    sink = Sink(extensions=("PIPELINING",))

    async def scene(at: Scene) -> None:
        await at.send().end()
        job = at.send(eight_bit=True)
        assert job.marks == []
        await job.end()

    play(sink, scene)
