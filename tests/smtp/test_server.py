from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.smtp.talks import COMMANDS, SMUGGLED, ServerTalk, at_data, cut, cuts, said_hello, without_splits

from nightmail.errors import ProtocolViolation
from nightmail.mail.reply import Reply
from nightmail.smtp import replies
from nightmail.smtp.events import MailReceived, QuitReceived, RcptReceived
from nightmail.smtp.server import INPUT_LIMIT_BYTES, Service
from nightmail.smtp.settings import SmtpSettings

OK = b"250 2.0.0 Ok\r\n"
GO_ON = b"354 End data with <CR><LF>.<CR><LF>\r\n"
OUT_OF_STEP = b"421 4.7.0 Closing: the dialogue is out of step\r\n"
SMALL = SmtpSettings(message_size_limit_bytes=1024, command_length_bytes=512, recipient_limit=100, received_limit=2)


def test_pipelined_messages_are_taken_in_one_go() -> None:
    session = said_hello()
    envelope = b"MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<postmaster>\r\nDATA\r\n"
    said = session.send((envelope + b"x\r\n.\r\n") * 2 + b"QUIT\r\n")
    assert said == (OK * 3 + GO_ON + OK) * 2 + b"221 2.0.0 Bye\r\n"
    assert [message.recipients for message in session.messages] == [["c@d.example", "postmaster"]] * 2
    assert session.core.is_closed


def test_nothing_is_parsed_while_an_answer_is_awaited() -> None:
    core = said_hello().core
    assert core.receive(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n") == [MailReceived("a@b")]
    assert core.is_waiting
    assert core.receive(b"DATA\r\n") == []
    assert core.answer(replies.SENDER_OK) == b"250 2.1.0 Ok\r\n"
    assert core.receive(b"") == [RcptReceived("c@d")]


def test_input_ahead_of_an_answer_is_bounded() -> None:
    core = said_hello().core
    core.receive(b"MAIL FROM:<a@b>\r\n")
    core.receive(b"x" * INPUT_LIMIT_BYTES)
    assert core.buffered_bytes == INPUT_LIMIT_BYTES
    with pytest.raises(ProtocolViolation) as refused:
        core.receive(b"x")
    assert core.close(refused.value.reply or replies.OK) == OUT_OF_STEP
    assert core.buffered_bytes == 0


def test_an_answer_needs_a_question() -> None:
    with pytest.raises(ProtocolViolation):
        said_hello().core.answer(replies.OK)


def test_the_shell_may_close_at_any_time() -> None:
    core = at_data().core
    assert core.close(Reply(421, "4.4.2", "Idle too long")) == b"421 4.4.2 Idle too long\r\n"
    assert core.is_closed
    assert core.receive(b"x\r\n.\r\n") == []
    assert core.buffered_bytes == 0


def test_quit_ends_the_session_and_what_follows_is_not_heard() -> None:
    session = said_hello()
    session.send(b"QUIT\r\nMAIL FROM:<a@b>\r\n")
    assert session.events[1:] == [QuitReceived(b"221 2.0.0 Bye\r\n")]
    assert session.core.buffered_bytes == 0


sessions = st.lists(st.sampled_from(COMMANDS + SMUGGLED + [b"\r\n.\r\n"] * 3), max_size=40).map(b"".join)


@pytest.mark.parametrize("service", ["smtp", "lmtp"])
@pytest.mark.parametrize("allowed", [False, True])
@given(stream=sessions, places=cuts)
def test_any_split_of_a_session_gives_the_same_events(
    service: Service, allowed: bool, stream: bytes, places: list[int]
) -> None:
    def run(pieces: list[bytes]) -> ServerTalk:
        session = said_hello(SMALL, service, bare_newlines_allowed=allowed)
        session.send_all(pieces)
        return session

    stream = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n" + stream
    whole, split = run([stream]), run(cut(stream, places))
    assert split.said == whole.said
    assert split.messages == whole.messages
    assert without_splits(split.events) == without_splits(whole.events)
