from __future__ import annotations

import email

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.mail.received import Trace, address_literal, local_header

NOW = 1_795_360_168.0


def a_trace(hello: str = "client.example.org", client_address: str = "192.0.2.1") -> Trace:
    return Trace("mx1.example.net", hello=hello, client_address=client_address)


def test_it_says_who_gave_us_the_message_and_whom_it_is_for() -> None:
    assert a_trace().header("0ABC", "bob@example.net", NOW) == (
        b"Received: from client.example.org ([192.0.2.1])\r\n"
        b"\tby mx1.example.net (nightmail) with ESMTP id 0ABC\r\n"
        b"\tfor <bob@example.net>; Sun, 22 Nov 2026 15:09:28 +0000\r\n"
    )


def test_it_names_no_recipient_where_there_are_several() -> None:
    assert a_trace().header("0ABC", "", NOW).endswith(b" id 0ABC; Sun, 22 Nov 2026 15:09:28 +0000\r\n")


@pytest.mark.parametrize(
    ("kind", "smtputf8", "name"),
    [
        ({"extended": False}, False, "SMTP"),
        ({}, False, "ESMTP"),
        ({"tls": True}, False, "ESMTPS"),
        ({"authenticated": True}, False, "ESMTPA"),
        ({"tls": True, "authenticated": True}, False, "ESMTPSA"),
        ({"lmtp": True}, False, "LMTP"),
        ({"lmtp": True, "extended": False}, False, "LMTP"),
        ({"lmtp": True, "tls": True}, False, "LMTPS"),
        ({}, True, "UTF8SMTP"),
        ({"tls": True, "authenticated": True}, True, "UTF8SMTPSA"),
        ({"lmtp": True}, True, "UTF8LMTP"),
    ],
)
def test_the_protocol_has_its_registered_name(kind: dict[str, bool], smtputf8: bool, name: str) -> None:
    trace = Trace("mx1.example.net", hello="client.example.org", client_address="192.0.2.1", **kind)
    assert f" with {name} id 0ABC".encode() in trace.header("0ABC", "", NOW, smtputf8=smtputf8)


@pytest.mark.parametrize(
    ("ip", "literal"),
    [("127.0.0.1", "[127.0.0.1]"), ("::1", "[IPv6:::1]"), ("fe80::1%eth0", "[IPv6:fe80::1]")],
)
def test_an_address_is_a_literal(ip: str, literal: str) -> None:
    assert address_literal(ip) == literal
    assert f"from client.example.org ({literal})".encode() in a_trace(client_address=ip).header("0ABC", "", NOW)


def test_a_client_on_a_unix_socket_has_no_address() -> None:
    assert b"from client.example.org\r\n" in a_trace(client_address="").header("0ABC", "", NOW)


def test_an_address_beyond_ascii_stands_only_in_a_message_that_may_have_it() -> None:
    assert b"for" not in a_trace().header("0ABC", "jörg@x", NOW)
    assert "for <jörg@x>".encode() in a_trace().header("0ABC", "jörg@x", NOW, smtputf8=True)


@given(hello=st.text(), recipient=st.text(), smtputf8=st.booleans())
def test_no_name_or_address_breaks_out_of_the_field(hello: str, recipient: str, smtputf8: bool) -> None:
    wire = a_trace(hello).header("0ABC", recipient, NOW, smtputf8=smtputf8)
    assert [name for name, _ in email.message_from_bytes(wire + b"\r\n").items()] == ["Received"]
    assert all(len(line) <= 998 for line in wire.split(b"\r\n"))
    assert wire.count(b";") == 1 or b";" in recipient.encode("utf-8", "replace")
    assert b" (nightmail) with " in wire


def test_what_came_from_this_machine_says_so() -> None:
    assert local_header("mx1.example.net", "0ABC", NOW) == (
        b"Received: by mx1.example.net (nightmail)\r\n\tid 0ABC; Sun, 22 Nov 2026 15:09:28 +0000\r\n"
    )
    assert b"(nightmail, from user al?ice)\r\n" in local_header("mx1.example.net", "0ABC", NOW, "al)ice")
