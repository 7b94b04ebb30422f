from __future__ import annotations

import pytest
from tests.smtp.talks import Decision, at_data, said_hello, talk, yes

from nightmail.mail.reply import Reply
from nightmail.smtp import replies
from nightmail.smtp.events import (
    BodyEnded,
    BodyReceived,
    BodyRefused,
    CloseRequested,
    DataRequested,
    Event,
    HelloReceived,
    MailReceived,
    RcptReceived,
    TransactionReset,
)
from nightmail.smtp.settings import SmtpSettings

OK = b"250 2.0.0 Ok\r\n"
GO_ON = b"354 End data with <CR><LF>.<CR><LF>\r\n"
OUT_OF_STEP = b"421 4.7.0 Closing: the dialogue is out of step\r\n"
SMALL = SmtpSettings(message_size_limit_bytes=1024, command_length_bytes=512, recipient_limit=100, received_limit=2)


def refusing(kind: type[Event], reply: Reply) -> Decision:
    return lambda event: reply if isinstance(event, kind) else yes(event)


def test_the_server_speaks_first() -> None:
    assert talk().core.greeting() == b"220 mx.example.net ESMTP nightmail\r\n"
    assert talk(service="lmtp").core.greeting() == b"220 mx.example.net LMTP nightmail\r\n"


def test_ehlo_announces_what_is_there_and_nothing_else() -> None:
    assert talk().send(b"EHLO c.example\r\n").split(b"\r\n") == [
        b"250-mx.example.net",
        b"250-PIPELINING",
        b"250-SIZE 52428800",
        b"250-8BITMIME",
        b"250-SMTPUTF8",
        b"250-CHUNKING",
        b"250-DSN",
        b"250-ENHANCEDSTATUSCODES",
        b"250-LIMITS RCPTMAX=1000",
        b"250 HELP",
        b"",
    ]


def test_helo_announces_nothing() -> None:
    session = talk()
    assert session.send(b"helo c.example\r\n") == b"250 mx.example.net\r\n"
    assert session.events == [HelloReceived("HELO", "c.example")]


def test_a_message_is_taken_step_by_step() -> None:
    session = said_hello()
    assert session.send(b"MAIL FROM:<a@b.example> SIZE=10\r\n") == OK
    assert session.send(b"RCPT TO:<c@d.example>\r\n") == OK
    assert session.send(b"DATA\r\n") == GO_ON
    assert session.core.in_transaction
    assert session.send(b"A: b\r\n\r\nc\r\n.\r\n") == OK
    assert not session.core.in_transaction
    assert session.events[1:] == [
        MailReceived("a@b.example", 10),
        RcptReceived("c@d.example"),
        DataRequested(),
        BodyReceived(b"A: b\r\n\r\nc\r\n"),
        BodyEnded(11, 0, eight_bit=False, utf8_headers=False),
    ]


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"NOOP anything\r\n", OK),
        (b"RSET\r\n", OK),
        (b"VRFY a@b\r\n", b"252 2.0.0 Send mail and see whether it is taken\r\n"),
        (b"VRFY\r\n", b"501 5.5.4 This command needs an argument\r\n"),
        (b"EXPN list\r\n", b"502 5.5.1 Command not implemented\r\n"),
        (b"STARTTLS\r\n", b"502 5.5.1 Command not implemented\r\n"),
        (b"AUTH PLAIN AGEAYg==\r\n", b"502 5.5.1 Command not implemented\r\n"),
        (b"XYZZY\r\n", b"500 5.5.2 Command not recognized\r\n"),
        (b"\r\n", b"500 5.5.2 Command not recognized\r\n"),
        (b"RSET now\r\n", b"501 5.5.4 This command takes no argument\r\n"),
        (b"EHLO\r\n", b"501 5.5.4 A hello needs a domain name or an address literal\r\n"),
        (b"LHLO c\r\n", b"500 5.5.1 EHLO and HELO are for SMTP, LHLO is for LMTP\r\n"),
        (b"NOOP \0\r\n", b"500 5.5.2 Control characters or broken UTF-8 in a command\r\n"),
        (b"MAIL FROM:<a\x07@b>\r\n", b"500 5.5.2 Control characters or broken UTF-8 in a command\r\n"),
        (b"MAIL FROM:<\xff@b>\r\n", b"500 5.5.2 Control characters or broken UTF-8 in a command\r\n"),
        (b"NOOP a\rb\r\n", b"500 5.5.2 Control characters or broken UTF-8 in a command\r\n"),
        (b"NOOP " + b"x" * 3000 + b"\r\n", b"500 5.5.6 Line too long\r\n"),
        (b"RCPT TO:<a@b>\r\n", b"503 5.5.1 MAIL first\r\n"),
        (b"DATA\r\n", b"503 5.5.1 MAIL first\r\n"),
        (b"MAIL FROM:<a@b> SIZE=52428801\r\n", b"552 5.3.4 Message size exceeds the limit\r\n"),
    ],
)
def test_a_command_has_its_reply_and_the_session_goes_on(command: bytes, reply: bytes) -> None:
    session = said_hello()
    assert session.send(command) == reply
    assert session.send(b"MAIL FROM:<a@b>\r\n") == OK


def test_help_is_given() -> None:
    assert said_hello().send(b"HELP\r\n").startswith(b"214 2.0.0 ")


@pytest.mark.parametrize("command", [b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"DATA", b"BDAT 0 LAST"])
def test_a_transaction_needs_a_hello(command: bytes) -> None:
    assert talk().send(command + b"\r\n") == b"503 5.5.1 Say hello first\r\n"


def test_one_transaction_at_a_time() -> None:
    session = said_hello()
    session.send(b"MAIL FROM:<a@b>\r\n")
    assert session.send(b"MAIL FROM:<c@d>\r\n") == b"503 5.5.1 A transaction is open already\r\n"
    assert session.send(b"DATA\r\n") == b"503 5.5.1 No valid recipients\r\n"


@pytest.mark.parametrize("command", [b"RSET\r\n", b"EHLO again\r\n", b"HELO again\r\n"])
def test_a_transaction_can_be_given_up(command: bytes) -> None:
    session = said_hello()
    session.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n" + command)
    assert TransactionReset() in session.events
    assert session.send(b"DATA\r\n") == b"503 5.5.1 MAIL first\r\n"


def test_a_refused_sender_opens_no_transaction() -> None:
    session = said_hello(decide=refusing(MailReceived, Reply(550, "5.7.1", "No")))
    assert session.send(b"MAIL FROM:<a@b>\r\n") == b"550 5.7.1 No\r\n"
    assert session.send(b"RCPT TO:<a@b>\r\n") == b"503 5.5.1 MAIL first\r\n"


def test_a_refused_recipient_does_not_count() -> None:
    session = said_hello(decide=refusing(RcptReceived, Reply(550, "5.1.1", "Unknown")))
    session.send(b"MAIL FROM:<a@b>\r\n")
    assert session.send(b"RCPT TO:<c@d>\r\nDATA\r\n") == b"550 5.1.1 Unknown\r\n503 5.5.1 No valid recipients\r\n"


def test_data_can_be_put_off() -> None:
    session = said_hello(decide=refusing(DataRequested, Reply(452, "4.3.1", "No space")))
    session.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n")
    assert session.send(b"DATA\r\n") == b"452 4.3.1 No space\r\n"
    assert session.send(b"RSET\r\n") == OK


def test_a_recipient_too_many_is_put_off() -> None:
    session = said_hello(SMALL)
    session.send(b"MAIL FROM:<a@b>\r\n")
    said = session.send(b"RCPT TO:<c@d>\r\n" * 101)
    assert said == OK * 100 + b"452 4.5.3 Too many recipients\r\n"


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        (b"x" * 1024 + b"\r\n.\r\n", b"552 5.3.4 Message size exceeds the limit\r\n"),
        (b"Received: a\r\n" * 3 + b".\r\n", b"554 5.4.6 Too many hops: the message seems to loop\r\n"),
        (b"a\nb\r\n.\r\n", b"550 5.6.0 Message refused: bare newline; lines end with <CR><LF>\r\n"),
        (b"a\r\n.\rb\r\n.\r\n", b"550 5.6.0 Message refused: bare newline; lines end with <CR><LF>\r\n"),
    ],
)
def test_a_message_that_breaks_a_rule_is_refused_at_its_end_and_never_handed_over(body: bytes, reply: bytes) -> None:
    session = at_data(SMALL)
    assert session.send(body + b"NOOP\r\n") == reply + OK
    assert session.messages == []
    assert isinstance(session.events[-2], BodyRefused)
    assert not session.core.in_transaction


@pytest.mark.parametrize("end", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n"])
def test_no_message_can_be_smuggled_in_another(end: bytes) -> None:
    session = at_data()
    inner = b"MAIL FROM:<root@example.org>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nevil\r\n.\r\n"
    assert session.send(b"innocent" + end + inner).startswith(b"550 5.6.0 ")
    assert session.messages == []
    assert session.send(b"NOOP\r\n") == OK


@pytest.mark.parametrize("end", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n"])
def test_an_old_client_is_helped_but_can_not_smuggle_either(end: bytes) -> None:
    session = at_data(bare_newlines_allowed=True)
    session.send(b"innocent" + end + b"MAIL FROM:<root@example.org>\r\n.\r\n")
    assert len(session.messages) == 1
    assert b"MAIL FROM" in session.messages[0].body


def test_a_bare_newline_in_a_command_ends_the_session_before_what_it_may_have_injected() -> None:
    session = said_hello()
    said = session.send(b"MAIL FROM:<a@b>\nRCPT TO:<c@d>\r\n")
    assert said == b"500 5.5.2 Bare newline: commands end with <CR><LF>\r\n" + OUT_OF_STEP
    assert session.core.is_closed
    assert session.send(b"NOOP\r\n") == b""


def test_an_old_client_may_end_its_commands_as_it_likes() -> None:
    session = talk(bare_newlines_allowed=True)
    assert session.send(b"EHLO c\nNOOP\n").endswith(OK)


def test_a_line_without_end_ends_the_session() -> None:
    session = said_hello()
    said = session.send_all([b"x" * 1000] * 50)
    assert said == b"500 5.5.6 Line too long\r\n" + OUT_OF_STEP


def test_a_browser_is_turned_away_before_its_headers_are_obeyed() -> None:
    session = talk()
    said = session.send(b"POST / HTTP/1.1\r\nHELO x\r\nMAIL FROM:<a@b>\r\n")
    assert said == b"500 5.5.2 This is an SMTP server\r\n" + OUT_OF_STEP


def test_the_last_of_too_many_errors_closes_the_session() -> None:
    session = said_hello()
    said = session.send(b"WHAT\r\n" * 30)
    assert said == b"500 5.5.2 Command not recognized\r\n" * 20 + b"421 4.7.0 Too many errors\r\n"
    assert isinstance(session.events[-1], CloseRequested)


def test_refused_recipients_are_errors_but_a_shortage_of_ours_is_not() -> None:
    harvester = said_hello(decide=refusing(RcptReceived, Reply(550, "5.1.1", "Unknown")))
    said = harvester.send(b"MAIL FROM:<a@b>\r\n" + b"RCPT TO:<c@d>\r\n" * 25)
    assert said.endswith(b"550 5.1.1 Unknown\r\n421 4.7.0 Too many errors\r\n")
    patient = said_hello(decide=refusing(RcptReceived, Reply(451, "4.3.0", "Later")))
    patient.send(b"MAIL FROM:<a@b>\r\n" + b"RCPT TO:<c@d>\r\n" * 25)
    assert not patient.core.is_closed


def test_a_message_taken_wipes_the_errors_before_it() -> None:
    session = said_hello()
    message = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n"
    for _ in range(5):
        session.send(b"WHAT\r\n" * 15 + message)
    assert len(session.messages) == 5


def test_an_answer_of_421_closes_the_session() -> None:
    session = said_hello(decide=refusing(MailReceived, Reply(421, "4.3.2", "Going down")))
    assert session.send(b"MAIL FROM:<a@b>\r\nNOOP\r\n") == b"421 4.3.2 Going down\r\n"
    assert session.events[-1] == CloseRequested(b"")


def test_a_refused_hello_leaves_the_session_fresh() -> None:
    session = talk(decide=refusing(HelloReceived, Reply(550, "5.7.1", "Not you")))
    assert session.send(b"EHLO c\r\nMAIL FROM:<a@b>\r\n") == b"550 5.7.1 Not you\r\n503 5.5.1 Say hello first\r\n"


class TestChunking:
    """RFC 3030."""

    ENVELOPE = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"

    def test_a_message_comes_in_chunks(self) -> None:
        session = said_hello()
        said = session.send(self.ENVELOPE + b"BDAT 6\r\nA: b\r\nBDAT 4\r\n\r\n.\rBDAT 4 LAST\r\n\nb\r\nNOOP\r\n")
        assert said == OK * 2 + b"250 2.0.0 6 octets received\r\n250 2.0.0 4 octets received\r\n" + OK * 2
        assert session.messages[0].body == b"A: b\r\n\r\n.\r\nb\r\n"
        assert session.events.count(DataRequested(chunked=True)) == 1

    def test_dots_and_commands_in_a_chunk_are_text(self) -> None:
        session = said_hello()
        text = b".\r\nRSET\r\n..\r\n\r\n.\r\nQUIT\r\n"
        session.send(self.ENVELOPE + b"BDAT %d LAST\r\n" % len(text) + text)
        assert session.messages[0].body == text
        assert not session.core.is_closed

    def test_an_empty_last_chunk_ends_the_message(self) -> None:
        session = said_hello()
        said = session.send(self.ENVELOPE + b"BDAT 3\r\na\r\nBDAT 0 LAST\r\nNOOP\r\n")
        assert said == OK * 2 + b"250 2.0.0 3 octets received\r\n" + OK * 2
        assert session.messages[0].body == b"a\r\n"

    def test_bdat_and_data_do_not_mix(self) -> None:
        session = said_hello()
        session.send(self.ENVELOPE + b"BDAT 3\r\na\r\n")
        for command in (b"DATA\r\n", b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<a@b>\r\n"):
            assert session.send(command) == b"503 5.5.1 BDAT has begun: go on with BDAT, or RSET\r\n"
        assert session.send(b"BDAT 0 LAST\r\n") == OK

    def test_a_chunk_without_a_recipient_is_passed_over(self) -> None:
        session = said_hello()
        said = session.send(b"MAIL FROM:<a@b>\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
        no, broken = b"503 5.5.1 No valid recipients\r\n", b"503 5.5.1 An earlier BDAT failed: RSET\r\n"
        assert said == OK + no + broken + OK
        assert session.send(b"MAIL FROM:<a@b>\r\n") == OK

    @pytest.mark.parametrize("before", [b"", b"EHLO c\r\n"])
    @pytest.mark.parametrize("last", [b"", b" LAST"])
    def test_a_chunk_out_of_place_is_passed_over(self, before: bytes, last: bytes) -> None:
        session = talk()
        session.send(before)
        assert session.send(b"BDAT 6" + last + b"\r\nQUIT\r\nNOOP\r\n").startswith(b"503 5.5.1 ")
        assert not session.core.is_closed

    def test_a_chunk_that_breaks_a_rule_takes_its_transaction_with_it(self) -> None:
        session = said_hello(SMALL)
        said = session.send(
            self.ENVELOPE + b"BDAT 2000\r\n" + b"x" * 2000 + b"DATA\r\nBDAT 1\r\nxBDAT 0 LAST\r\nNOOP\r\n"
        )
        broken = b"503 5.5.1 An earlier BDAT failed: RSET\r\n"
        assert said == OK * 2 + b"552 5.3.4 Message size exceeds the limit\r\n" + broken * 3 + OK
        assert session.messages == []

    def test_a_bare_newline_at_the_border_of_chunks_is_seen(self) -> None:
        session = said_hello()
        said = session.send(self.ENVELOPE + b"BDAT 2\r\na\rBDAT 2 LAST\r\nb\n")
        assert said.endswith(b"550 5.6.0 Message refused: bare newline; lines end with <CR><LF>\r\n")

    def test_chunks_can_be_put_off(self) -> None:
        session = said_hello(decide=refusing(DataRequested, Reply(452, "4.3.1", "No space")))
        said = session.send(self.ENVELOPE + b"BDAT 6\r\nQUIT\r\nRSET\r\n")
        assert said == OK * 2 + b"452 4.3.1 No space\r\n" + OK

    def test_a_count_that_can_not_be_read_ends_the_session(self) -> None:
        session = said_hello()
        said = session.send(self.ENVELOPE + b"BDAT many\r\n")
        assert said.endswith(b"501 5.5.4 Syntax: BDAT octets [LAST]\r\n" + OUT_OF_STEP)


class TestLmtp:
    """RFC 2033."""

    ENVELOPE = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\n"

    def test_lhlo_is_the_only_hello(self) -> None:
        session = talk(service="lmtp")
        assert session.send(b"EHLO c\r\n").startswith(b"500 5.5.1 ")
        assert session.send(b"LHLO c\r\n").startswith(b"250-mx.example.net\r\n250-PIPELINING\r\n")

    def test_errors_are_not_wiped_by_a_message_that_was_refused(self) -> None:
        core = said_hello(SmtpSettings(error_limit=1), service="lmtp").core
        core.receive(self.ENVELOPE + b"DATA\r\n")
        for _ in range(4):
            core.answer(replies.OK)
            core.receive(b"")
        core.receive(b"x\r\n.\r\n")
        core.answer(Reply(550, "5.7.1", "No"))
        assert core.receive(b"") == [CloseRequested(b"421 4.7.0 Too many errors\r\n")]

    def test_one_answer_goes_out_for_each_recipient(self) -> None:
        session = said_hello(service="lmtp")
        assert session.send(self.ENVELOPE + b"DATA\r\nx\r\n.\r\n") == OK * 3 + GO_ON + OK * 2

    def test_a_refusal_goes_out_for_each_recipient(self) -> None:
        session = said_hello(service="lmtp")
        said = session.send(self.ENVELOPE + b"DATA\r\nx\n\r\n.\r\nNOOP\r\n")
        assert said.count(b"550 5.6.0 ") == 2
        assert said.endswith(OK)

    def test_data_without_a_recipient_is_out_of_sequence(self) -> None:
        session = said_hello(service="lmtp")
        assert session.send(b"MAIL FROM:<a@b>\r\nDATA\r\n") == OK + b"503 5.5.1 No valid recipients\r\n"

    def test_a_last_chunk_is_answered_for_each_recipient_also_when_it_fails(self) -> None:
        session = said_hello(service="lmtp")
        said = session.send(self.ENVELOPE + b"BDAT 2\r\n\n\nBDAT 0 LAST\r\n")
        assert said.count(b"550 ") == 1
        assert said.count(b"503 ") == 2
