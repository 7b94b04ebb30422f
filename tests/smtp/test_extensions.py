from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.mail.reply import Reply
from nightmail.smtp.extensions import Extensions, announced
from nightmail.smtp.settings import SmtpSettings


def parse(*lines: str) -> Extensions:
    return Extensions.parse(Reply(250, "", "\n".join(("peer.example", *lines))))


def test_what_we_announce_is_understood() -> None:
    ours = parse(*announced(SmtpSettings(recipient_limit=500, message_size_limit_bytes=4096)))
    assert (ours.pipelining, ours.eight_bit_mime, ours.smtputf8, ours.chunking, ours.dsn) == (True,) * 5
    assert (ours.size_limit_bytes, ours.rcpt_max, ours.mail_max) == (4096, 500, None)
    assert "STARTTLS" not in ours.parameters
    assert "AUTH" not in ours.parameters


def test_the_first_line_announces_nothing() -> None:
    assert Extensions.parse(Reply(250, "", "PIPELINING")) == Extensions()


def test_keywords_are_understood_in_any_case() -> None:
    assert parse("pipelining", "Size 10").size_limit_bytes == 10


def test_limits_are_understood() -> None:
    peer = parse("LIMITS MAILMAX=5 rcptmax=100 RCPTDOMAINMAX=1 NEWMAX=3")
    assert (peer.mail_max, peer.rcpt_max, peer.rcpt_domain_max) == (5, 100, 1)


@pytest.mark.parametrize(
    "line", ["SIZE", "SIZE 0", "SIZE x", "SIZE -1", "LIMITS", "LIMITS RCPTMAX", "LIMITS RCPTMAX=0"]
)
def test_a_limit_that_says_nothing_limits_nothing(line: str) -> None:
    assert (parse(line).size_limit_bytes, parse(line).rcpt_max) == (None, None)


@given(st.text())
def test_no_announcement_is_more_than_ignored(text: str) -> None:
    Extensions.parse(Reply(250, "", text))
