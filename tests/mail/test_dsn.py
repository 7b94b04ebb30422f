from __future__ import annotations

import email
from email.message import EmailMessage, Message, MIMEPart
from email.policy import default
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.mail.dsn import RETURN_LIMIT_BYTES, render
from nightmail.mail.envelope import Envelope, Recipient
from nightmail.mail.fate import Action, Fate, Original
from nightmail.mail.reply import Reply

ARRIVAL = 1_795_360_168.0
NOW = ARRIVAL + 60
HEADER = (
    b"From: Alice <alice@example.org>\r\nTo: bob@example.net\r\nSubject: Lunch on Friday\r\n"
    b"Message-ID: <lunch@example.org>\r\n\r\n"
)
MESSAGE = HEADER + b"At noon?\r\n.\r\n"
BOB = Recipient("bob@example.net", "rfc822;b+2Bob@example.org", orig_to="b+ob@example.org")
NO_SUCH_USER = Reply(550, "5.1.1", "<bob@example.net>: no\nsuch user")
RELAY = "mx.example.net[192.0.2.1]:25"


def failed(recipient: Recipient = BOB, reply: Reply = NO_SUCH_USER, relay: str = RELAY) -> Fate:
    return Fate(recipient, Action.FAILED, reply, relay, ARRIVAL + 5, ARRIVAL + 100)


def original(message: bytes = MESSAGE, size_bytes: int | None = None, **envelope: Any) -> Original:
    sender = envelope.pop("sender", "alice@example.org")
    size_bytes = len(message) if size_bytes is None else size_bytes
    return Original("0ORIGINAL", Envelope(sender, (BOB,), **envelope), ARRIVAL, message, size_bytes)


def rendered(about: Original, *fates: Fate) -> tuple[Envelope, bytes]:
    envelope, body = render(about, fates or [failed()], hostname="mx1.example.org", report_id="0REPORT", now=NOW)
    return envelope, b"".join(body)


def parsed(about: Original, *fates: Fate) -> EmailMessage:
    message = email.message_from_bytes(rendered(about, *fates)[1], policy=default)
    assert isinstance(message, EmailMessage)
    return message


def parts_of(report: EmailMessage) -> tuple[str, list[Message], MIMEPart]:
    """The text for people, the groups of fields for programs, and the part with the original."""
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert not report.defects
    readable, status, returned = report.iter_parts()
    groups = [group for group in status.get_payload() if isinstance(group, Message)]
    return readable.get_content().replace("\r\n", "\n"), groups, returned


def test_the_report_goes_from_nobody_to_the_sender() -> None:
    envelope, _ = rendered(original())
    assert envelope == Envelope("", (Recipient("alice@example.org"),))


def test_its_header_says_what_it_is_and_what_it_is_about() -> None:
    report = parsed(original())
    assert report["From"] == "Mail Delivery System <MAILER-DAEMON@mx1.example.org>"
    assert report["To"] == "alice@example.org"
    assert report["Subject"] == "Your message could not be delivered"
    assert report["Auto-Submitted"] == "auto-replied"
    assert report["Message-ID"] == "<0REPORT@mx1.example.org>"
    assert report["In-Reply-To"] == "<lunch@example.org>"
    assert report["References"] == "<lunch@example.org>"
    assert report["Date"].datetime.timestamp() == NOW
    assert report["MIME-Version"] == "1.0"
    assert "id 0REPORT" in report["Received"]


def test_an_original_without_a_message_id_is_no_reason_to_make_one_up() -> None:
    report = parsed(original(b"Message-ID: none\r\n\r\n"))
    assert report["In-Reply-To"] is None


def test_programs_read_what_happened_to_whom() -> None:
    _, (message, recipient), _ = parts_of(parsed(original(envid="QQ+2B314"), failed()))
    assert dict(message.items()) == {
        "Original-Envelope-Id": "QQ+314",
        "Reporting-MTA": "dns; mx1.example.org",
        "X-Nightmail-Queue-Id": "0ORIGINAL",
        "Arrival-Date": "Sun, 22 Nov 2026 15:09:28 +0000",
    }
    assert dict(recipient.items()) == {
        "Original-Recipient": "rfc822; b+ob@example.org",
        "Final-Recipient": "rfc822; bob@example.net",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.example.net",
        "Diagnostic-Code": "smtp; 550 5.1.1 <bob@example.net>: no such user",
        "Last-Attempt-Date": "Sun, 22 Nov 2026 15:09:33 +0000",
    }


def test_a_delay_says_how_long_it_will_be_tried() -> None:
    fate = Fate(BOB, Action.DELAYED, Reply(451, "4.4.1", "refused"), "", ARRIVAL + 5, ARRIVAL + 100)
    report = parsed(original(), fate)
    text, (_, recipient), returned = parts_of(report)
    assert report["Subject"] == "Your message is delayed"
    assert recipient["Action"] == "delayed"
    assert recipient["Will-Retry-Until"] == "Sun, 22 Nov 2026 15:11:08 +0000"
    assert recipient["Remote-MTA"] is None
    assert recipient["Diagnostic-Code"] == "X-nightmail; 451 4.4.1 refused"
    assert "You need not send it again" in " ".join(text.split())
    assert "It will be tried until Sun, 22 Nov 2026 15:11:08 +0000." in text
    assert returned.get_content_type() == "text/rfc822-headers"


@pytest.mark.parametrize(
    ("action", "subject"),
    [
        (Action.DELIVERED, "Your message was delivered"),
        (Action.RELAYED, "Your message was passed on"),
        (Action.EXPANDED, "Your message was passed on"),
    ],
)
def test_a_success_is_reported_with_the_header_alone(action: Action, subject: str) -> None:
    report = parsed(original(ret="FULL"), Fate(BOB, action, Reply(250, "2.0.0", "ok"), RELAY, NOW))
    _, (_, recipient), returned = parts_of(report)
    assert report["Subject"] == subject
    assert (recipient["Action"], recipient["Status"]) == (action.value, "2.0.0")
    assert returned.get_content_type() == "text/rfc822-headers"


def test_people_read_in_plain_words_what_happened_and_what_to_do() -> None:
    text, _, _ = parts_of(parsed(original()))
    assert text == (
        "This is the mail system at mx1.example.org.\n"
        "\n"
        "I am sorry: your message could not be delivered to the address below,\n"
        "and it will not be tried again. Below you find what the other side said\n"
        "and what you can do.\n"
        "\n"
        "    Subject:   Lunch on Friday\n"
        "    Received:  Sun, 22 Nov 2026 15:09:28 +0000\n"
        "    Known as:  0ORIGINAL\n"
        "\n"
        "Not delivered:\n"
        "\n"
        "  <bob@example.net>\n"
        "  (you wrote to <b+ob@example.org>)\n"
        "      mx.example.net: 550 5.1.1 <bob@example.net>: no such user\n"
        "    There is no such address. Please look for a typing mistake in it, or\n"
        "    ask for the right one in another way.\n"
        "\n"
        "If you need help, send this report to <postmaster@mx1.example.org>.\n"
    )


@pytest.mark.parametrize(
    ("reply", "advice"),
    [
        (Reply(552, "5.2.2", "full"), "The mailbox is full"),
        (Reply(554, "5.7.26", "no DKIM"), "found to break a rule"),
        (Reply(554, "5.9.9", "no"), "refused the message for good"),
        (Reply(451, "4.3.0", "not now"), "tried again and again until its time was over"),
    ],
)
def test_the_advice_fits_the_reason(reply: Reply, advice: str) -> None:
    text, _, _ = parts_of(parsed(original(), failed(reply=reply)))
    assert advice in " ".join(text.split())


def test_all_recipients_of_a_batch_share_one_report_the_failures_first() -> None:
    carol, dave = Recipient("carol@example.net"), Recipient("dave@example.net")
    delivered = Fate(carol, Action.DELIVERED, Reply(250, "2.0.0", "ok"))
    report = parsed(original(), delivered, failed(), failed(dave))
    text, (_, *groups), _ = parts_of(report)
    assert report["Subject"] == "Your message could not be delivered"
    assert "the 2 addresses below" in " ".join(text.split())
    assert text.index("Not delivered:") < text.index("bob@") < text.index("Delivered:") < text.index("carol@")
    assert [group["Action"] for group in groups] == ["delivered", "failed", "failed"]


def test_a_long_list_is_told_in_full_to_programs_only() -> None:
    fates = [failed(Recipient(f"user{n}@example.net")) for n in range(250)]
    text, groups, _ = parts_of(parsed(original(), *fates))
    assert "and 150 more, listed in the second part of this report." in text
    assert len(groups) == 251


def test_the_whole_message_comes_back_as_it_was() -> None:
    _, body = rendered(original())
    assert b"Content-Type: message/rfc822\r\n\r\n" + MESSAGE + b"\r\n--" in body


def test_the_original_is_not_copied() -> None:
    about = original()
    _, body = render(about, [failed()], hostname="mx1.example.org", report_id="0REPORT", now=NOW)
    assert body[1] is about.message


@pytest.mark.parametrize("known_bytes", [RETURN_LIMIT_BYTES, RETURN_LIMIT_BYTES + 10_000])
def test_of_a_large_message_only_the_header_comes_back_whatever_was_asked_for(known_bytes: int) -> None:
    large = HEADER + b"x" * known_bytes
    _, _, returned = parts_of(parsed(original(large[:known_bytes], len(large), ret="FULL")))
    assert returned.get_content_type() == "text/rfc822-headers"
    assert returned.get_content().encode() == HEADER


def test_only_the_header_comes_back_where_that_was_asked_for() -> None:
    _, body = rendered(original(ret="HDRS"))
    assert b"At noon" not in body
    assert b"Content-Type: text/rfc822-headers\r\n\r\n" + HEADER in body


def test_a_header_without_end_is_cut_at_a_line() -> None:
    _, body = rendered(original(b"X: y\r\n" * 20_000))
    assert len(body) < RETURN_LIMIT_BYTES + 4000
    assert b"X: y\r\n\r\n--=_0REPORT--\r\n" in body


def test_eight_bits_in_the_original_are_declared() -> None:
    envelope, body = rendered(original(HEADER + "Mahlzeit, Jörg\r\n".encode()))
    report = email.message_from_bytes(body, policy=default)
    assert envelope.eight_bit
    assert not envelope.utf8_headers
    assert report["Content-Transfer-Encoding"] == "8bit"
    *_, returned = report.iter_parts()
    assert returned["Content-Transfer-Encoding"] == "8bit"


def test_an_international_address_is_reported_in_utf_8() -> None:
    joerg = Recipient("jörg@exämple.net", r"utf-8;j\x{F6}@exämple.net")
    about = original(sender="älice@exämple.org", utf8_headers=True)
    envelope, body = rendered(about, failed(joerg, Reply(550, "5.1.1", "kein Jörg hier")))
    text = body.decode()
    assert envelope.utf8_headers
    assert envelope.eight_bit
    assert "To: <älice@exämple.org>\r\n" in text
    assert "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n" in text
    assert "Original-Recipient: utf-8; jö@exämple.net\r\n" in text
    assert "Final-Recipient: utf-8; jörg@exämple.net\r\n" in text
    assert "Diagnostic-Code: smtp; 550 5.1.1 kein Jörg hier\r\n" in text
    assert "Content-Type: message/global\r\n" in text


def test_an_international_recipient_of_an_ascii_sender_needs_no_smtputf8_to_be_reported() -> None:
    envelope, _ = rendered(original(utf8_headers=True), failed(Recipient("jörg@exämple.net")))
    assert not envelope.utf8_headers
    assert envelope.eight_bit


def test_a_plain_report_stays_ascii_whatever_the_remote_said() -> None:
    about = original()
    envelope, body = rendered(about, failed(Recipient("bob@x", r"utf-8;j\x{F6}@x"), Reply(550, "5.1.1", "für Jörg")))
    assert not envelope.eight_bit
    assert body.isascii()
    assert rb"Original-Recipient: utf-8; j\x{F6}@x" in body


def test_a_boundary_that_someone_guessed_is_not_used() -> None:
    guess = HEADER + b"--=_0REPORT--\r\n--=_0REPORT.1--\r\n"
    report = parsed(original(guess))
    assert report.get_boundary() == "=_0REPORT.2"
    assert len(list(report.iter_parts())) == 3


@pytest.mark.parametrize("about", [original(sender="")])
def test_a_report_to_nobody_is_a_broken_invariant(about: Original) -> None:
    with pytest.raises(AssertionError, match="somebody to read it"):
        rendered(about)


HOSTILE = st.text(max_size=300) | st.sampled_from(
    ["a\r\nBcc: x@y\r\n\r\n--=_0REPORT", "\r\n.\r\nMAIL FROM:<>", "\n\nAction: delivered", "x" * 3000, "=_0REPORT"]
)
OUR_FIELDS = ["Received", "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "In-Reply-To", "References"]
MIME_FIELDS = ["MIME-Version", "Content-Type", "Content-Transfer-Encoding"]


@st.composite
def hostile_reports(draw: st.DrawFn) -> tuple[Original, Fate]:
    recipient = Recipient(draw(HOSTILE), draw(HOSTILE), 0, draw(HOSTILE))
    reply = Reply(550, draw(HOSTILE), draw(HOSTILE))
    fate = Fate(recipient, draw(st.sampled_from(Action)), reply, draw(HOSTILE), NOW, NOW)
    message = HEADER + draw(st.binary(max_size=300))
    return original(message, sender=draw(HOSTILE.filter(bool)), envid=draw(HOSTILE)), fate


@given(hostile_reports())
def test_nothing_from_outside_adds_a_field_a_part_or_a_long_line(report: tuple[Original, Fate]) -> None:
    about, fate = report
    _, body = render(about, [fate], hostname="mx1.example.org", report_id="0REPORT", now=NOW)
    head, returned, tail = map(bytes, body)
    assert_plain_lines(head)
    header, _, parts = head.partition(b"\r\n\r\n")
    names = [line.partition(b":")[0].decode() for line in header.split(b"\r\n") if line[:1] not in (b" ", b"\t")]
    assert names in (OUR_FIELDS + MIME_FIELDS, OUR_FIELDS + MIME_FIELDS[:2])
    delimiter = tail.rstrip(b"-\r\n")
    assert (b"\r\n" + parts + returned).count(delimiter) == 3
    status = (b"\r\n" + parts).split(delimiter)[2].partition(b"\r\n\r\n")[2]
    assert [group.count(b"\r\nAction: ") for group in status.split(b"\r\n\r\n")] == [0, 1]


def assert_plain_lines(wire: bytes) -> None:
    assert all(len(line) <= 998 for line in wire.split(b"\r\n"))
    assert not set(wire.replace(b"\r\n", b"")) & set(b"\r\n\x00\x1b")
