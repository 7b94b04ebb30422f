from __future__ import annotations

import pytest
from tests.smtp.test_client import ready

from nightmail.mail.envelope import Envelope, Recipient
from nightmail.mail.reply import Reply
from nightmail.smtp.client import ClientCore
from nightmail.smtp.client_events import (
    BodyWanted,
    CommandReady,
    MailAnswered,
    MessageAnswered,
    PeerClosing,
    ProtocolBroken,
    RecipientAnswered,
    TransactionEnded,
)

ENVELOPE = Envelope("a@b.example", (Recipient("c@d.example"), Recipient("e@f.example"), Recipient("g@h.example")))
OK = Reply(250, "2.0.0", "Ok")
NO = Reply(550, "5.1.1", "No")
DOWN = Reply(421, "4.3.2", "Down")
ok, no, down, go_on = OK.encode(), NO.encode(), DOWN.encode(), b"354 Go on\r\n"
RESET = CommandReady(b"RSET\r\n")


def begun(*indexes: int, lmtp: bool = False) -> ClientCore:
    core = ready("PIPELINING", lmtp=lmtp)
    core.begin(ENVELOPE, indexes or (0, 1), 10)
    return core


def at_verdict(*indexes: int, lmtp: bool = False) -> ClientCore:
    indexes = indexes or (0, 1)
    core = begun(*indexes, lmtp=lmtp)
    core.receive(ok * (1 + len(indexes)) + go_on)
    core.body(b"x\r\n")
    core.end_of_body()
    return core


def test_all_commands_go_at_once_to_a_peer_that_pipelines() -> None:
    core = ready("PIPELINING", "SIZE 1000")
    wire = core.begin(ENVELOPE, (0, 2), 10)
    assert wire == b"MAIL FROM:<a@b.example> SIZE=10\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<g@h.example>\r\nDATA\r\n"
    assert core.receive(ok * 3 + go_on) == [
        MailAnswered(OK),
        RecipientAnswered(0, OK),
        RecipientAnswered(2, OK),
        BodyWanted(),
    ]
    assert core.body(b".x\r\n") == [b".", b".x\r\n"]
    assert not core.final_sent
    assert core.end_of_body() == b".\r\n"
    assert core.final_sent
    assert core.unanswered == (0, 2)
    assert core.receive(ok) == [MessageAnswered((0, 2), OK), TransactionEnded()]
    assert core.unanswered == ()
    assert core.is_ready


def test_one_command_at_a_time_goes_to_a_peer_that_does_not() -> None:
    core = ready()
    assert core.begin(ENVELOPE, (0, 1), 10) == b"MAIL FROM:<a@b.example>\r\n"
    assert core.receive(ok) == [MailAnswered(OK), CommandReady(b"RCPT TO:<c@d.example>\r\n")]
    assert core.receive(no) == [RecipientAnswered(0, NO), CommandReady(b"RCPT TO:<e@f.example>\r\n")]
    assert core.receive(ok) == [RecipientAnswered(1, OK), CommandReady(b"DATA\r\n")]
    assert core.receive(go_on) == [BodyWanted()]


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_refused_sender_is_the_verdict_on_all(pipelining: bool) -> None:
    core = ready("PIPELINING") if pipelining else ready()
    core.begin(ENVELOPE, (0, 1), 10)
    events = core.receive(no + (no * 3 if pipelining else b""))
    assert events == [MailAnswered(NO), TransactionEnded()]
    assert core.unanswered == ()
    assert core.is_ready


@pytest.mark.parametrize("pipelining", [True, False])
def test_no_body_goes_out_when_every_recipient_was_refused(pipelining: bool) -> None:
    core = ready("PIPELINING") if pipelining else ready()
    core.begin(ENVELOPE, (0, 1), 10)
    events = []
    for reply in (ok, no, no, no)[: 4 if pipelining else 3]:
        events += core.receive(reply)
    refused = [event for event in events if isinstance(event, RecipientAnswered)]
    assert refused == [RecipientAnswered(0, NO), RecipientAnswered(1, NO)]
    assert events[-1] == RESET
    assert BodyWanted() not in events
    assert not core.is_ready
    assert core.receive(ok) == [TransactionEnded()]
    assert core.is_ready


def test_an_empty_message_ends_a_data_that_was_taken_for_nobody() -> None:
    core = begun()
    assert core.receive(ok + no + no + go_on)[-1] == CommandReady(b".\r\n")
    assert core.body(b"secret") == []
    assert core.end_of_body() == b""
    assert core.receive(b"554 No valid recipients\r\n") == [TransactionEnded()]
    assert core.is_ready
    assert not core.final_sent


def test_lmtp_can_not_mend_a_data_that_was_taken_for_nobody() -> None:
    assert isinstance(begun(lmtp=True).receive(ok + no + no + go_on)[-1], ProtocolBroken)


def test_a_refused_data_is_the_verdict_on_those_that_were_taken() -> None:
    core = begun()
    assert core.receive(ok + ok + no + no)[-2:] == [MessageAnswered((0,), NO), RESET]
    assert core.receive(ok) == [TransactionEnded()]


def test_lmtp_gives_each_recipient_its_verdict() -> None:
    core = begun(0, 1, 2, lmtp=True)
    core.receive(ok + ok + no + ok + go_on)
    core.body(b"x")
    assert core.end_of_body() == b"\r\n.\r\n"
    assert core.receive(ok) == [MessageAnswered((0,), OK)]
    assert core.unanswered == (2,)
    assert core.receive(no) == [MessageAnswered((2,), NO), TransactionEnded()]


def test_a_refused_message_leaves_the_session_ready() -> None:
    core = at_verdict()
    assert core.receive(no) == [MessageAnswered((0, 1), NO), TransactionEnded()]
    assert core.is_ready


def test_no_250_ahead_of_the_dot_counts() -> None:
    core = begun()
    events = core.receive(ok * 3 + go_on + ok)
    assert isinstance(events[-1], ProtocolBroken)
    assert core.unanswered == (0, 1)
    core = begun()
    core.receive(ok * 3 + go_on)
    core.body(b"x\r\n")
    assert isinstance(core.receive(ok)[-1], ProtocolBroken)
    assert core.end_of_body() == b""
    assert not core.final_sent


def test_no_reply_answers_a_command_that_was_not_sent_yet() -> None:
    core = ready()
    core.begin(ENVELOPE, (0,), 10)
    assert isinstance(core.receive(ok + ok)[-1], ProtocolBroken)


def test_a_refusal_amid_the_message_ends_the_session() -> None:
    core = begun()
    core.receive(ok * 3 + go_on)
    core.body(b"x\r\n")
    assert core.receive(no) == [MessageAnswered((0, 1), NO), TransactionEnded(), PeerClosing(NO)]
    assert core.body(b"y\r\n") == []
    assert core.is_closed


@pytest.mark.parametrize(
    ("heard", "verdicts"),
    [
        (b"", [MailAnswered(DOWN)]),
        (ok, [RecipientAnswered(0, DOWN), RecipientAnswered(1, DOWN)]),
        (ok + ok, [RecipientAnswered(1, DOWN), MessageAnswered((0,), DOWN)]),
        (ok + no, [RecipientAnswered(1, DOWN)]),
        (ok + ok + no, [MessageAnswered((0,), DOWN)]),
        (ok + ok + ok + go_on, [MessageAnswered((0, 1), DOWN)]),
        (no, []),
    ],
)
def test_421_is_the_verdict_on_all_that_have_none(heard: bytes, verdicts: list[object]) -> None:
    core = begun()
    core.receive(heard)
    assert core.receive(down) == [*verdicts, TransactionEnded(), PeerClosing(DOWN)]
    assert core.unanswered == ()


def test_421_instead_of_an_answer_to_the_dot_is_an_answer() -> None:
    assert at_verdict().receive(down)[0] == MessageAnswered((0, 1), DOWN)
    core = at_verdict(lmtp=True)
    core.receive(ok)
    assert core.receive(down)[0] == MessageAnswered((1,), DOWN)


def test_a_verdict_that_can_not_be_understood_is_none() -> None:
    for nonsense in (b"354 Go on\r\n", b"yes\r\n"):
        core = at_verdict()
        assert isinstance(core.receive(nonsense)[-1], ProtocolBroken)
        assert core.unanswered == (0, 1)
        assert core.final_sent


@pytest.mark.parametrize("heard", [go_on, ok + go_on, ok * 4])
def test_a_reply_that_does_not_fit_its_command_breaks_the_session(heard: bytes) -> None:
    assert isinstance(begun().receive(heard)[-1], ProtocolBroken)


def test_a_reset_that_fails_breaks_the_session() -> None:
    core = begun()
    core.receive(ok + no + no + no)
    assert isinstance(core.receive(no)[-1], ProtocolBroken)


class TestChunking:
    """RFC 3030."""

    def begun(self) -> ClientCore:
        core = ready("PIPELINING", "CHUNKING", chunking=True)
        assert core.begin(ENVELOPE, (0, 1), 10).endswith(b"RCPT TO:<e@f.example>\r\n")
        assert core.receive(ok * 3)[-1] == BodyWanted()
        return core

    def test_it_is_used_only_where_it_is_offered_together_with_pipelining(self) -> None:
        for extension in ("CHUNKING", "PIPELINING"):
            core = ready(extension, chunking=True)
            core.begin(ENVELOPE, (0,), 10)
            for reply in (ok, ok, go_on):
                core.receive(reply)
            assert core.body(b"x") == [b"x"]
        lmtp = ready("PIPELINING", "CHUNKING", chunking=True, lmtp=True)
        assert lmtp.begin(ENVELOPE, (0,), 10).endswith(b"DATA\r\n")

    def test_chunks_are_answered_one_by_one(self) -> None:
        core = self.begun()
        assert core.body(b".\r\n") == [b"BDAT 3\r\n", b".\r\n"]
        assert core.receive(ok) == []
        core.body(b"x")
        assert core.end_of_body() == b"BDAT 2 LAST\r\n\r\n"
        assert core.receive(ok + ok) == [MessageAnswered((0, 1), OK), TransactionEnded()]

    def test_nothing_goes_out_when_every_recipient_was_refused(self) -> None:
        core = ready("PIPELINING", "CHUNKING", chunking=True)
        core.begin(ENVELOPE, (0, 1), 10)
        assert core.receive(ok + no + no)[-1] == RESET

    def test_a_refused_chunk_is_the_verdict_and_stops_the_message(self) -> None:
        core = self.begun()
        core.body(b"x")
        core.body(b"y")
        assert core.receive(no) == [MessageAnswered((0, 1), NO)]
        assert not core.wants_body
        assert core.body(b"z") == []
        assert core.end_of_body() == b""
        assert core.receive(no) == [RESET]
        assert core.receive(ok) == [TransactionEnded()]
        assert core.is_ready

    def test_a_refused_chunk_is_the_only_verdict_also_when_the_last_is_under_way(self) -> None:
        core = self.begun()
        core.body(b"x\r\n")
        core.end_of_body()
        assert core.receive(no) == [MessageAnswered((0, 1), NO)]
        assert core.receive(no) == [RESET]
        assert core.receive(ok) == [TransactionEnded()]
