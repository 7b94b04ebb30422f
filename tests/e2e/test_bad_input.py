"""What a client must not do, each with the exact reply it gets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.dialogue import MESSAGE, Dialogue, deliver
from tests.e2e.switch import LOCAL_ONLY, Switch

LIMITS = {
    "smtp": {
        "message_size_limit_bytes": 100_000,
        "recipient_limit": 100,
        "error_limit": 20,
        "session_limit": 8,
        "client_session_limit": 5,
        "idle_timeout_s": 2.0,
        "bare_newlines_from": ["127.0.0.9/32"],
    }
}
TABLES = {**LOCAL_ONLY, "clients": "127.0.0.1/32 relay\n127.0.0.2/32 deny\n"}
SMUGGLED = b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switch]:
    with Switch(tmp_path_factory.mktemp("limited"), TABLES, LIMITS) as switch:
        yield switch


@pytest.fixture
def session(limited: Switch) -> Iterator[Dialogue]:
    with Dialogue(limited.port) as dialogue:
        yield dialogue.greet()


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("NONSENSE", "500 5.5.2 Command not recognized"),
        ("", "500 5.5.2 Command not recognized"),
        ("RCPT TO:<alice@example.org>", "503 5.5.1 MAIL first"),
        ("DATA", "503 5.5.1 MAIL first"),
        ("BDAT 0 LAST", "503 5.5.1 MAIL first"),
        ("MAIL FROM:carol@", "501 5.1.7 Bad sender address syntax"),
        ("MAIL FROM:<carol@example.net> SIZE=200000", "552 5.3.4 Message size exceeds the limit"),
        ("MAIL FROM:<carol@example.net> SIZE=many", "501 5.5.4 Bad value of parameter SIZE"),
        ("MAIL FROM:<carol@example.net> FOO=bar", "555 5.5.4 Unsupported parameter: FOO"),
        ("NOOP " + "x" * 3000, "500 5.5.6 Line too long"),
        ("NOOP \x01", "500 5.5.2 Control characters or broken UTF-8 in a command"),
        ("EHLO", "501 5.5.4 A hello needs a domain name or an address literal"),
        ("TURN", "502 5.5.1 Command not implemented"),
        ("VRFY alice", "252 2.0.0 Send mail and see whether it is taken"),
    ],
)
def test_a_bad_command_gets_its_reply(session: Dialogue, command: str, reply: str) -> None:
    assert session.say(command) == reply
    assert session.say("NOOP") == "250 2.0.0 Ok"


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        ("nobody@example.org", "550 5.1.1 no such user here"),
        ("alice@[", "501 5.1.3 Bad recipient address syntax"),
        ("alice", "501 5.1.3 Bad recipient address syntax"),
    ],
)
def test_a_bad_recipient_gets_its_reply(session: Dialogue, recipient: str, reply: str) -> None:
    session.say("MAIL FROM:<carol@example.net>")
    assert session.say(f"RCPT TO:<{recipient}>") == reply


def test_mail_before_hello_is_refused(limited: Switch) -> None:
    with Dialogue(limited.port) as session:
        session.reply()
        assert session.say("MAIL FROM:<carol@example.net>") == "503 5.5.1 Say hello first"


def test_a_message_over_the_limit_is_refused_at_its_end(session: Dialogue) -> None:
    session.envelope("carol@example.net", "alice@example.org")
    assert (
        session.body(b"x" * 78 + b"\r\n" + (b"y" * 78 + b"\r\n") * 1300) == "552 5.3.4 Message size exceeds the limit"
    )
    assert session.say("NOOP") == "250 2.0.0 Ok"


def test_the_recipient_limit_puts_off_the_rest(session: Dialogue) -> None:
    session.say("MAIL FROM:<carol@example.net>")
    replies = [session.say("RCPT TO:<alice@example.org>") for _ in range(101)]
    assert set(replies[:100]) == {"250 2.1.5 Ok"}
    assert replies[100] == "452 4.5.3 Too many recipients"


def test_a_looping_message_is_refused(session: Dialogue) -> None:
    session.envelope("carol@example.net", "alice@example.org")
    looped = b"Received: from a by b; now\r\n" * 51 + MESSAGE
    assert session.body(looped) == "554 5.4.6 Too many hops: the message seems to loop"


def test_twenty_errors_end_the_session(session: Dialogue) -> None:
    for _ in range(20):
        assert session.say("NONSENSE") == "500 5.5.2 Command not recognized"
    assert session.reply() == "421 4.7.0 Too many errors"
    assert session.is_closed()


def test_a_silent_client_is_closed(session: Dialogue) -> None:
    assert session.reply().startswith("421 4.4.2 ")
    assert session.is_closed()


def test_one_client_gets_only_its_share_of_sessions(limited: Switch) -> None:
    sessions = [Dialogue(limited.port) for _ in range(6)]
    greetings = [session.reply() for session in sessions]
    for session in sessions:
        session.socket.close()
    assert sum(greeting.startswith("220 ") for greeting in greetings) == 5
    assert greetings[5].startswith("421 4.7.0 ")


def test_sessions_beyond_the_limit_are_turned_away(limited: Switch) -> None:
    sessions = [Dialogue(limited.port, source=f"127.0.0.{10 + n // 4}") for n in range(9)]
    greetings = [session.reply() for session in sessions]
    for session in sessions:
        session.socket.close()
    assert sum(greeting.startswith("220 ") for greeting in greetings) == 8
    assert greetings[8].startswith("421 4.3.2 ")


def test_a_denied_client_is_turned_away_at_once(limited: Switch) -> None:
    with Dialogue(limited.port, source="127.0.0.2") as session:
        assert session.reply().startswith("554 ")
        assert session.is_closed()


def test_a_stranger_cannot_relay(limited: Switch) -> None:
    with Dialogue(limited.port, source="127.0.0.3") as session:
        session.greet().say("MAIL FROM:<carol@example.net>")
        assert session.say("RCPT TO:<someone@elsewhere.test>") == "554 5.7.1 relay access denied"
        assert session.say("RCPT TO:<someone%elsewhere.test@example.org>") == "550 5.1.1 no such user here"
        assert session.say("RCPT TO:<alice@example.org>") == "250 2.1.5 Ok"


@pytest.mark.parametrize("end", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n"])
def test_nothing_but_the_true_end_of_data_ends_a_message(limited: Switch, session: Dialogue, end: bytes) -> None:
    session.envelope("carol@example.net", "alice@example.org")
    session.send(b"Subject: carrier\r\n\r\nhello" + end + SMUGGLED)
    assert session.reply() == "550 5.6.0 Message refused: bare newline; lines end with <CR><LF>"
    assert session.say("NOOP") == "250 2.0.0 Ok"
    assert not [file for file in limited.maildir("alice") if b"smuggled" in file.read_bytes()]


def test_a_bare_newline_in_a_command_ends_the_session(session: Dialogue) -> None:
    session.send(b"NOOP\nMAIL FROM:<evil@example.org>\r\n")
    assert session.reply() == "500 5.5.2 Bare newline: commands end with <CR><LF>"
    assert session.reply() == "421 4.7.0 Closing: the dialogue is out of step"
    assert session.is_closed()


def test_an_old_client_on_the_list_may_send_bare_newlines(limited: Switch) -> None:
    with Dialogue(limited.port, source="127.0.0.9") as session:
        session.greet().envelope("carol@example.net", "bob@example.org")
        assert session.body(b"Subject: old\n\nhello\n\r\n").startswith("250 ")
    (message,) = limited.wait_for_mail("bob")
    assert b"hello" in message


def test_a_browser_is_sent_away(limited: Switch) -> None:
    with Dialogue(limited.port) as session:
        session.reply()
        assert session.say("POST / HTTP/1.1") == "500 5.5.2 This is an SMTP server"
        assert session.reply() == "421 4.7.0 Closing: the dialogue is out of step"
        assert session.is_closed()


def test_binary_rubbish_does_not_disturb_anybody_else(limited: Switch) -> None:
    with Dialogue(limited.port) as session:
        session.reply()
        session.send(bytes(range(256)) * 200)
        assert session.reply()[:1] in "45"
    deliver(limited.port, "carol@example.net", "alice@example.org")
