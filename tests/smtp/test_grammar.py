from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.errors import ProtocolViolation
from nightmail.mail.envelope import NOTIFY_DELAY, NOTIFY_FAILURE, NOTIFY_NEVER, NOTIFY_SUCCESS
from nightmail.mail.reply import Reply
from nightmail.smtp import grammar
from nightmail.smtp.events import MailReceived, RcptReceived


def outcome_of_mail(text: str) -> MailReceived | Reply:
    try:
        return grammar.parse_mail(text)
    except ProtocolViolation as violation:
        return violation.reply or Reply(0, "", "none")


def outcome_of_rcpt(text: str) -> RcptReceived | Reply:
    try:
        return grammar.parse_rcpt(text, smtputf8=True)
    except ProtocolViolation as violation:
        return violation.reply or Reply(0, "", "none")


def refusal_of_mail(text: str) -> str:
    with pytest.raises(ProtocolViolation) as refused:
        grammar.parse_mail(text)
    return str(refused.value.reply)


def refusal_of_rcpt(text: str) -> str:
    with pytest.raises(ProtocolViolation) as refused:
        grammar.parse_rcpt(text, smtputf8=False)
    return str(refused.value.reply)


def test_the_common_mail_command_is_understood() -> None:
    assert grammar.parse_mail("FROM:<a@b.example>") == MailReceived("a@b.example")
    assert grammar.parse_mail("from:<a@b.example> SIZE=123") == MailReceived("a@b.example", 123)


def test_the_null_sender_is_an_empty_one() -> None:
    assert grammar.parse_mail("FROM:<>") == MailReceived("")
    assert grammar.parse_mail("FROM: <> size=5 ") == MailReceived("", 5)


def test_every_parameter_of_mail_is_understood() -> None:
    text = "FROM:<é@b.example> BODY=8bitmime SMTPUTF8 SIZE=7 RET=hdrs ENVID=a+2Bb"
    assert grammar.parse_mail(text) == MailReceived("é@b.example", 7, "8BITMIME", True, "HDRS", "a+2Bb")


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("", "501 5.5.4 Syntax: MAIL FROM:<address>"),
        ("<a@b>", "501 5.5.4 Syntax: MAIL FROM:<address>"),
        ("FROM:a@b", "501 5.1.7 Bad sender address syntax"),
        ("FROM:<a>", "501 5.1.7 Bad sender address syntax"),
        ("FROM:<a@b> SIZE=x", "501 5.5.4 Bad value of parameter SIZE"),
        ("FROM:<a@b> SIZE", "501 5.5.4 Bad value of parameter SIZE"),
        ("FROM:<a@b> SIZE=-1", "501 5.5.4 Bad value of parameter SIZE"),
        ("FROM:<a@b> SIZE=" + "1" * 21, "501 5.5.4 Bad value of parameter SIZE"),
        ("FROM:<a@b> SIZE=1 SIZE=1", "501 5.5.4 Bad or repeated parameter"),
        ("FROM:<a@b> =", "501 5.5.4 Bad or repeated parameter"),
        ("FROM:<a@b> BODY=BINARYMIME", "501 5.5.4 Bad value of parameter BODY"),
        ("FROM:<a@b> SMTPUTF8=yes", "501 5.5.4 Bad value of parameter SMTPUTF8"),
        ("FROM:<a@b> RET=ALL", "501 5.5.4 Bad value of parameter RET"),
        ("FROM:<a@b> ENVID=" + "x" * 101, "501 5.5.4 Bad value of parameter ENVID"),
        ("FROM:<a@b> ENVID=+zz", "501 5.5.4 Bad value of parameter ENVID"),
        ("FROM:<a@b> AUTH=<>", "555 5.5.4 Unsupported parameter: AUTH"),
        ("FROM:<a@b> NOTIFY=NEVER", "555 5.5.4 Unsupported parameter: NOTIFY"),
        ("FROM:<é@b>", "553 5.6.7 This address needs SMTPUTF8"),
    ],
)
def test_a_fault_in_mail_has_its_own_reply(text: str, refusal: str) -> None:
    assert refusal_of_mail(text) == refusal


def test_the_common_rcpt_command_is_understood() -> None:
    assert grammar.parse_rcpt("TO:<a@b.example>", smtputf8=False) == RcptReceived("a@b.example")


def test_the_postmaster_needs_no_domain() -> None:
    assert grammar.parse_rcpt("to:<Postmaster>", smtputf8=False) == RcptReceived("Postmaster")
    assert grammar.parse_rcpt("TO:<postmaster> NOTIFY=NEVER", smtputf8=False).notify == NOTIFY_NEVER


def test_every_parameter_of_rcpt_is_understood() -> None:
    rcpt = grammar.parse_rcpt("TO:<a@b.example> NOTIFY=success,FAILURE,DELAY ORCPT=rfc822;a+40b", smtputf8=False)
    assert rcpt == RcptReceived("a@b.example", NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY, "rfc822;a+40b")
    assert grammar.parse_rcpt("TO:<é@b> ORCPT=utf-8;é@b", smtputf8=True).orcpt == "utf-8;é@b"


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("<a@b>", "501 5.5.4 Syntax: RCPT TO:<address>"),
        ("TO:<>", "501 5.1.3 Bad recipient address syntax"),
        ("TO:<a>", "501 5.1.3 Bad recipient address syntax"),
        ("TO:<postmaster@>", "501 5.1.3 Bad recipient address syntax"),
        ("TO:<a@b> NOTIFY=NEVER,SUCCESS", "501 5.5.4 Bad value of parameter NOTIFY"),
        ("TO:<a@b> NOTIFY", "501 5.5.4 Bad value of parameter NOTIFY"),
        ("TO:<a@b> ORCPT=rfc822", "501 5.5.4 Bad value of parameter ORCPT"),
        ("TO:<a@b> ORCPT=rfc822;" + "x" * 501, "501 5.5.4 Bad value of parameter ORCPT"),
        ("TO:<a@b> SIZE=1", "555 5.5.4 Unsupported parameter: SIZE"),
    ],
)
def test_a_fault_in_rcpt_has_its_own_reply(text: str, refusal: str) -> None:
    assert refusal_of_rcpt(text) == refusal


def test_a_chunk_has_a_count_and_may_be_the_last() -> None:
    assert grammar.parse_chunk("0") == (0, False)
    assert grammar.parse_chunk("12 last") == (12, True)
    for text in ("", "x", "-1", "1 LAST x", "1  LAST", "1" * 19, "٣"):
        with pytest.raises(ProtocolViolation):
            grammar.parse_chunk(text)


def test_a_hello_needs_a_name_that_is_safe_in_a_header() -> None:
    assert grammar.parse_hello("mx.example.org") == "mx.example.org"
    assert grammar.parse_hello(" [IPv6:::1] ") == "[IPv6:::1]"
    for text in ("", " ", "a b", "a(b)", "a;b", "<a>", "bücher", "x" * 256):
        with pytest.raises(ProtocolViolation):
            grammar.parse_hello(text)


@given(
    st.text(max_size=200) | st.from_regex(r"(FROM|TO):<[ -~]{0,20}>( [A-Z]{3,8}(=[ -~]{0,9})?){0,3}", fullmatch=True)
)
def test_no_text_is_more_than_refused(text: str) -> None:
    for outcome in (outcome_of_mail(text), outcome_of_rcpt(text)):
        assert isinstance(outcome, MailReceived | RcptReceived) or outcome.is_permanent


@given(st.from_regex(r"[a-z.+_-]{1,20}@[a-z_-]{1,9}(\.[a-z-]{1,9}){0,3}", fullmatch=True))
def test_the_fast_way_and_the_long_way_agree(address: str) -> None:
    assert outcome_of_mail(f"FROM:<{address}> SIZE=4") == outcome_of_mail(f"FROM: <{address}>  SIZE=4 ")
