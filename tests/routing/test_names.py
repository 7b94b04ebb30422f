from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.errors import ConfigInvalid
from nightmail.routing.names import address_key, mailbox_key, parents, parse_address, parse_domain, unquote


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("Alice@Example.ORG", "alice@example.org"),
        ('"alice"@example.org', "alice@example.org"),
        ('"Al\\ice"@example.org', "alice@example.org"),
        ('"two words"@example.org', '"two words"@example.org'),
        ('"a@b"@example.org', '"a@b"@example.org'),
        ("alice@BÜCHER.example", "alice@xn--bcher-kva.example"),
        ("alice@example.org.", "alice@example.org"),
        ("JÖRG@example.org", "jörg@example.org"),
        ("Postmaster", "postmaster"),
    ],
)
def test_different_spellings_of_one_address_have_one_key(written: str, key: str) -> None:
    assert address_key(written) == key


def test_a_quoted_name_is_the_name_without_its_quotes() -> None:
    assert unquote('"a\\"b"') == 'a"b'
    assert unquote("alice") == "alice"
    assert mailbox_key('""') == '""'


def test_parents_come_nearest_first() -> None:
    assert parents("a.b.example.org") == [".b.example.org", ".example.org", ".org"]
    assert parents("org") == []


@pytest.mark.parametrize("text", ["example.org", "EXAMPLE.org.", "bücher.example", "_dmarc.example.org", "localhost"])
def test_a_domain_name_is_folded(text: str) -> None:
    assert parse_domain(text, "here").isascii()


@pytest.mark.parametrize(
    "text", ["", ".", "exa mple.org", "a..b", "-a.org", "a-.org", "-ü.org", "a@b", "[127.0.0.1]", "x" * 64, "a." * 130]
)
def test_what_can_be_no_domain_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"^here: "):
        parse_domain(text, "here")


@pytest.mark.parametrize(
    "text", ["alice", "@example.org", "a b@example.org", "a@", "a,b@example.org", "<a@b.org>", '"a@b']
)
def test_what_can_be_no_address_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"^here: "):
        parse_address(text, "here")


def test_a_local_part_has_at_most_64_octets() -> None:
    assert parse_address("x" * 64 + "@example.org", "here")
    with pytest.raises(ConfigInvalid, match="more than 64 octets"):
        parse_address("ü" * 33 + "@example.org", "here")


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    for parse in (parse_domain, parse_address):
        try:
            parsed = parse(text, "here")
        except ConfigInvalid:
            continue
        assert parse(parsed, "here") == parsed


@given(st.emails())
def test_a_key_is_its_own_key(address: str) -> None:
    key = address_key(address)
    assert address_key(key) == key
