from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.errors import ProtocolViolation
from nightmail.mail.envelope import NOTIFY_DELAY, NOTIFY_NEVER, NOTIFY_SUCCESS, Envelope, Recipient
from nightmail.smtp import commands
from nightmail.smtp.extensions import Extensions
from nightmail.smtp.grammar import parse_mail, parse_rcpt

EVERYTHING = Extensions(pipelining=True, eight_bit_mime=True, smtputf8=True, dsn=True, size=True)
NOTHING = Extensions()
PLAIN = Envelope("a@b.example", (Recipient("c@d.example"),))
RICH = Envelope(
    "é@b.example",
    (Recipient("c@d.example", "rfc822;x+40y", NOTIFY_SUCCESS | NOTIFY_DELAY),),
    "HDRS",
    "id+2B",
    eight_bit=True,
    utf8_headers=True,
)


def test_a_plain_message_asks_for_nothing_but_its_size() -> None:
    assert commands.mail_command(EVERYTHING, PLAIN, [0], 9) == "MAIL FROM:<a@b.example> SIZE=9\r\n"
    assert commands.rcpt_command(EVERYTHING, PLAIN.recipients[0]) == "RCPT TO:<c@d.example>\r\n"
    assert commands.mail_command(NOTHING, PLAIN, [0], 9) == "MAIL FROM:<a@b.example>\r\n"


def test_what_a_message_needs_is_asked_for_where_it_is_understood() -> None:
    mail = "MAIL FROM:<é@b.example> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id+2B\r\n"
    assert commands.mail_command(EVERYTHING, RICH, [0], 9) == mail
    rcpt = "RCPT TO:<c@d.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+40y\r\n"
    assert commands.rcpt_command(EVERYTHING, RICH.recipients[0]) == rcpt


def test_what_a_peer_does_not_understand_is_left_out() -> None:
    envelope = Envelope("", (Recipient("c@d", "rfc822;x", NOTIFY_NEVER),), "FULL", "id", eight_bit=True)
    assert commands.mail_command(NOTHING, envelope, [0], 9) == "MAIL FROM:<>\r\n"
    assert commands.rcpt_command(NOTHING, envelope.recipients[0]) == "RCPT TO:<c@d>\r\n"


def test_smtputf8_is_asked_for_only_by_the_recipients_that_need_it() -> None:
    envelope = Envelope("a@b", (Recipient("c@d"), Recipient("é@d")))
    assert "SMTPUTF8" not in commands.mail_command(EVERYTHING, envelope, [0], 1)
    assert "SMTPUTF8" in commands.mail_command(EVERYTHING, envelope, [0, 1], 1)


def test_an_internationalised_domain_alone_goes_in_its_ascii_form() -> None:
    envelope = Envelope("a@bücher.example", (Recipient("c@bücher.example"),))
    assert commands.objection(NOTHING, envelope, [0], 1) is None
    assert commands.mail_command(EVERYTHING, envelope, [0], 1) == "MAIL FROM:<a@xn--bcher-kva.example> SIZE=1\r\n"
    assert commands.rcpt_command(NOTHING, envelope.recipients[0]) == "RCPT TO:<c@xn--bcher-kva.example>\r\n"


@pytest.mark.parametrize(
    ("peer", "envelope", "size_bytes", "objection"),
    [
        (NOTHING, PLAIN, 10**9, None),
        (Extensions(size=True, size_limit_bytes=100), PLAIN, 100, None),
        (Extensions(size=True, size_limit_bytes=100), PLAIN, 101, commands.TOO_BIG),
        (NOTHING, Envelope("a@b", PLAIN.recipients, eight_bit=True), 1, commands.NEEDS_8BITMIME),
        (NOTHING, Envelope("a@b", PLAIN.recipients, utf8_headers=True), 1, commands.NEEDS_SMTPUTF8),
        (NOTHING, Envelope("é@b", PLAIN.recipients), 1, commands.NEEDS_SMTPUTF8),
        (NOTHING, Envelope("a@b", (Recipient("é@b"),)), 1, commands.NEEDS_SMTPUTF8),
        (EVERYTHING, RICH, 1, None),
    ],
)
def test_a_message_is_not_offered_where_it_can_not_go(
    peer: Extensions, envelope: Envelope, size_bytes: int, objection: object
) -> None:
    assert commands.objection(peer, envelope, [0], size_bytes) == objection


@pytest.mark.parametrize("address", ["a\r\nDATA@b", "a\n@b", "a\r@b", "a@b\r\n"])
def test_an_address_can_not_smuggle_a_command(address: str) -> None:
    with pytest.raises(ProtocolViolation):
        commands.on_the_wire([commands.rcpt_command(EVERYTHING, Recipient(address))])


names = st.from_regex(r"[a-z.+é]{1,12}@[a-z]{1,9}\.example", fullmatch=True)


@given(names, names, st.integers(2, 15).map(lambda bits: bits & ~NOTIFY_NEVER), st.integers(0, 10**9))
def test_what_we_send_is_what_we_understand(sender: str, recipient: str, notify: int, size_bytes: int) -> None:
    envelope = Envelope(sender, (Recipient(recipient, "rfc822;x", notify),), "FULL", "e")
    mail = parse_mail(commands.mail_command(EVERYTHING, envelope, [0], size_bytes).removeprefix("MAIL ").rstrip())
    assert (mail.sender, mail.size_bytes, mail.ret, mail.envid) == (sender, size_bytes, "FULL", "e")
    assert mail.smtputf8 == (not (sender + recipient).isascii())
    rcpt = parse_rcpt(commands.rcpt_command(EVERYTHING, envelope.recipients[0]).removeprefix("RCPT ").rstrip(), True)
    assert (rcpt.address, rcpt.notify, rcpt.orcpt) == (recipient, notify, "rfc822;x")
