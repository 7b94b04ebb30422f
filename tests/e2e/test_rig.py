"""The tools of these tests, tested by themselves: a sink that forgets would prove nothing."""

from __future__ import annotations

import pytest
from tests.e2e.dialogue import Dialogue
from tests.e2e.sink import Act, Answer, Sink
from tests.e2e.switch import as_toml


def test_the_sink_remembers_what_it_took() -> None:
    with Sink() as sink, Dialogue(sink.port) as session:
        session.greet().envelope("carol@example.net", "a@sink.test", "b@sink.test")
        assert session.body(b"Subject: one\r\n\r\n..\r\n") == "250 2.0.0 Ok: kept"
        (message,) = sink.wait_for(1)
    assert (message.sender, message.recipients) == ("carol@example.net", ("a@sink.test", "b@sink.test"))
    assert message.data == b"Subject: one\r\n\r\n..\r\n"
    assert message.answered


def test_the_sink_refuses_one_recipient_and_keeps_the_message_for_the_other() -> None:
    with Sink() as sink, Dialogue(sink.port) as session:
        sink.on["RCPT b@sink.test"] = Answer(words="550 5.1.1 no such user")
        session.greet()
        session.say("MAIL FROM:<>")
        assert session.say("RCPT TO:<b@sink.test>") == "550 5.1.1 no such user"
        assert session.say("RCPT TO:<a@sink.test>").startswith("250")
        session.say("DATA")
        session.body()
        assert sink.wait_for(1)[0].recipients == ("a@sink.test",)


def test_a_refused_message_is_not_kept() -> None:
    with Sink() as sink, Dialogue(sink.port) as session:
        sink.on["."] = Answer(words="451 4.3.0 not now")
        assert session.greet().envelope("", "a@sink.test").body() == "451 4.3.0 not now"
        assert sink.received == []


@pytest.mark.parametrize("act", [Act.CLOSE, Act.RESET])
def test_a_message_whose_answer_was_withheld_is_kept_as_unanswered(act: Act) -> None:
    with Sink() as sink, Dialogue(sink.port) as session:
        sink.on["."] = Answer(act)
        session.greet().envelope("", "a@sink.test").send(b"\r\n.\r\n")
        assert session.is_closed()
        assert [message.answered for message in sink.wait_for(1)] == [False]


def test_a_sink_that_was_shut_opens_again_on_its_port() -> None:
    with Sink() as sink:
        sink.shut()
        with pytest.raises(ConnectionRefusedError):
            Dialogue(sink.port)
        sink.open()
        with Dialogue(sink.port) as session:
            session.greet()


def test_settings_become_toml() -> None:
    sections: dict[str, dict[str, object]] = {
        "queue": {"retry_first_s": 1.5},
        "[[listener]]": {"open": True, "from": ["::1"]},
    }
    assert as_toml(sections).splitlines() == [
        *("[queue]", "retry_first_s = 1.5", ""),
        *("[[listener]]", "open = true", 'from = ["::1"]'),
    ]
