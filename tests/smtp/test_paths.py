from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.errors import ProtocolViolation
from nightmail.mail.reply import Reply
from nightmail.smtp import paths

REFUSAL = Reply(501, "5.1.3", "no")


def parse(text: str, *, smtputf8: bool = False) -> str:
    local, domain, _ = paths.split_path(text, REFUSAL)
    return paths.mailbox(local, domain, smtputf8, REFUSAL)


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("<a@b.example>", "a@b.example"),
        (" <a@b.example>", "a@b.example"),
        ("<a.b+c=d/e_f@B.Example>", "a.b+c=d/e_f@B.Example"),
        ("<@relay.example,@other.example:a@b.example>", "a@b.example"),
        ("<a@[192.0.2.1]>", "a@[192.0.2.1]"),
        ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"),
        ("<a@x_y.example>", "a@x_y.example"),
        ("<dots..are.sent.@b.example>", "dots..are.sent.@b.example"),
        ('<"john doe"@b.example>', '"john doe"@b.example'),
        ('<"a@b"@c.example>', '"a@b"@c.example'),
        (r'<"a\"b\\c"@d.example>', r'"a\"b\\c"@d.example'),
    ],
)
def test_a_path_is_understood(path: str, address: str) -> None:
    assert parse(path) == address


def test_quotes_that_are_not_needed_vanish_so_that_one_mailbox_has_one_name() -> None:
    assert parse('<"john"@b.example>') == parse(r'<"j\ohn"@b.example>') == "john@b.example"


@pytest.mark.parametrize(
    "path",
    [
        *[
            "a@b",
            "<a@b",
            "a@b>",
            "<<a@b>>",
            "<a@b>x",
            "<a b@c>",
            "<a@b c>",
            "<a@@b>",
            "<@b>",
            "<a@>",
            "<a@b.>",
            "<a@.b>",
        ],
        *[
            "<a@-b>",
            "<a@b->",
            "<a@b..c>",
            "<a@b,c>",
            "<a@b;c>",
            '<"a@b>',
            '<""@b>',
            '<"a"b@c>',
            "<a@[1.2.3]>",
            "<a@[::1]>",
        ],
        *["<a@[IPv6:fe80::1%eth0]>", "<a@[tag:x]>", "<a@[]>", "<a@(b)>", "<a@b\\c>", "<a,b@c>", "<@a:@b>", "  <a@b>"],
        f"<a@{'x' * 64}.example>",
        f"<{'a' * 245}@b.example>",
    ],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ProtocolViolation) as refused:
        parse(path)
    assert refused.value.reply == REFUSAL


def test_a_path_may_be_as_long_as_the_standard_says() -> None:
    address = f"{'a' * 244}@b.example"
    assert len(f"<{address}>") == paths.PATH_LIMIT
    assert parse(f"<{address}>") == address


def test_the_null_path_has_neither_part() -> None:
    assert paths.split_path("<> SIZE=1", REFUSAL) == ("", "", "SIZE=1")


def test_an_address_beyond_ascii_needs_smtputf8() -> None:
    for path in ("<é@b.example>", "<a@bücher.example>"):
        assert parse(path, smtputf8=True) == path[1:-1]
        with pytest.raises(ProtocolViolation) as refused:
            parse(path)
        assert refused.value.reply == paths.NEEDS_SMTPUTF8


@pytest.mark.parametrize("domain", ["bü cher.example", "ü.", "\u2028", "ü..example", "a" * 300 + "ü"])
def test_a_domain_that_can_not_be_internationalised_is_none(domain: str) -> None:
    assert not paths.is_domain(domain)


@given(st.text(max_size=80))
def test_no_text_is_more_than_refused(text: str) -> None:
    try:
        address = parse(text, smtputf8=True)
    except ProtocolViolation:
        return
    assert "@" in address
    assert "\n" not in address
    assert not address.startswith("@")


@given(st.from_regex(r"[a-z]([a-z ]|\\.){0,20}", fullmatch=True))
def test_an_address_that_was_understood_is_understood_again_as_itself(local: str) -> None:
    address = parse(f'<"{local}"@b.example>', smtputf8=True)
    assert parse(f"<{address}>", smtputf8=True) == address
