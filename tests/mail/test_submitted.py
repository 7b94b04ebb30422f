from __future__ import annotations

import email
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.mail.submitted import as_message, header_recipients, missing_fields, without_bcc

NOW = 1_795_360_168.0


def completed(message: bytes, sender: str = "alice@example.org", full_name: str = "") -> bytes:
    lines = missing_fields(
        message, sender=sender, full_name=full_name, hostname="mx1.example.org", message_id="0ABC", now=NOW
    )
    return lines + message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"A: b\n\nbody\n", b"A: b\r\n\r\nbody\r\n"),
        (b"A: b\r\n\r\nbody", b"A: b\r\n\r\nbody\r\n"),
        (b"a\rb\r\nc\n", b"a\r\nb\r\nc\r\n"),
        (b"From alice Sun Nov 22\nA: b\n", b"A: b\r\n"),
        (b"", b""),
    ],
)
def test_every_line_of_a_message_ends_with_crlf(text: bytes, message: bytes) -> None:
    assert as_message(text) == message


@given(st.binary())
def test_no_newline_of_a_message_is_bare(text: bytes) -> None:
    message = as_message(text)
    assert b"\r" not in message.replace(b"\r\n", b"")
    assert b"\n" not in message.replace(b"\r\n", b"")


def test_what_a_message_must_have_is_added() -> None:
    message = email.message_from_bytes(
        completed(b"Subject: hi\r\n\r\nbody\r\n", full_name="Alice, Dr."), policy=default
    )
    assert message["From"] == '"Alice, Dr." <alice@example.org>'
    assert message["Date"].datetime.timestamp() == NOW
    assert message["Message-ID"] == "<0ABC@mx1.example.org>"
    assert message["Subject"] == "hi"


def test_what_a_message_has_is_left_alone() -> None:
    message = b"from: a@x\r\nDATE: today\r\nMessage-Id: <1@x>\r\n\r\nbody\r\n"
    assert completed(message) == message


def test_a_body_without_a_header_gets_one() -> None:
    message = email.message_from_bytes(completed(b"just a line\r\n"), policy=default)
    assert message["From"] == "alice@example.org"
    assert message.get_content() == "just a line\r\n"


def test_a_blank_first_line_is_the_end_of_an_empty_header() -> None:
    message = email.message_from_bytes(completed(b"\r\nbody\r\n"), policy=default)
    assert message["From"] == "alice@example.org"
    assert message.get_content() == "body\r\n"


def test_a_message_from_nobody_is_from_the_mail_system() -> None:
    assert completed(b"\r\n", sender="").startswith(b"From: MAILER-DAEMON@mx1.example.org\r\n")


@given(sender=st.text(), full_name=st.text())
def test_no_name_adds_a_field(sender: str, full_name: str) -> None:
    header = completed(b"\r\nbody\r\n", sender, full_name).partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0] for line in header.split(b"\r\n") if not line.startswith(b" ")]
    assert names == [b"From", b"Date", b"Message-ID"]


@pytest.mark.parametrize(
    ("header", "addresses"),
    [
        ("To: alice@example.org", ["alice@example.org"]),
        (
            'To: "Last, First" <a@x>, b@y (comment, more)\r\nCc: A <a@x>,\r\n c@z\r\nBcc: d@z',
            ["a@x", "b@y", "c@z", "d@z"],
        ),
        ("To: undisclosed-recipients:;", []),
        ("To: Friends: a@x, b@y;, c@z", ["a@x", "b@y", "c@z"]),
        ('To: "a b"@x, a.b@[192.0.2.1]', ['"a b"@x', "a.b@[192.0.2.1]"]),
        ("To: root, Admin <admin>", ["root", "admin"]),
        ("To: jörg <jörg@exämple.org>", ["jörg@exämple.org"]),
        ("To: a@x\r\nResent-To: b@y", ["b@y"]),
        ("Subject: none", []),
    ],
)
def test_the_recipients_of_a_message_are_read_from_its_header(header: str, addresses: list[str]) -> None:
    assert header_recipients(header.encode() + b"\r\n\r\nTo: body@x\r\n") == addresses


@pytest.mark.parametrize("value", ["alice@x bob@y", "a b c", "<>", "Bob <bob@x", "(" * 5000, "@x", '""@x'])
def test_a_field_that_is_not_understood_is_refused_by_name(value: str) -> None:
    with pytest.raises(ValueError, match=r"^To: .* can't be understood: "):
        header_recipients(f"To: {value}\r\n\r\n".encode())


@given(st.text() | st.text(alphabet='a@.,;:<>()[]"\\ \t='))
def test_any_text_gives_addresses_without_blanks_or_a_value_error(value: str) -> None:
    message = b"To: " + " ".join(value.split()).encode("utf-8", "replace") + b"\r\n\r\n"
    try:
        addresses = header_recipients(message)
    except ValueError:
        return
    for address in addresses:
        assert address.isprintable()
        assert address.startswith('"') or not set(address) & set('<> ",;()\r\n')


def test_the_blind_copies_are_taken_out() -> None:
    message = b"To: a@x\r\nbcc: b@y,\r\n\tc@z\r\nSubject: hi\r\nResent-Bcc: d@z\r\n\r\nBcc: body\r\n"
    assert without_bcc(message) == b"To: a@x\r\nSubject: hi\r\n\r\nBcc: body\r\n"
