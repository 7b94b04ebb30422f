from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.mail import xtext

WITHOUT_SURROGATES = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("text", "encoded"),
    [("alice@example.org", "alice@example.org"), ("a+b=c d", "a+2Bb+3Dc+20d"), ("ä", "+C3+A4"), ("", "")],
)
def test_what_a_parameter_cannot_carry_is_spelled_in_hexadecimal(text: str, encoded: str) -> None:
    assert xtext.encode(text) == encoded
    assert xtext.decode(encoded) == text


@given(WITHOUT_SURROGATES)
def test_every_text_comes_back(text: str) -> None:
    assert xtext.decode(xtext.encode(text)) == text


@given(st.text())
def test_no_nonsense_is_an_error(text: str) -> None:
    xtext.decode(text)
    xtext.decode_embedded(text)
    assert xtext.encode(text).isascii()
    assert xtext.encode_embedded(text).isascii()


@pytest.mark.parametrize(
    ("embedded", "address"),
    [
        (r"b\x{E4}b@x", "bäb@x"),
        (r"\x{1F600}@x", "😀@x"),
        (r"\x{0A}\x{41}\x{D800}\x{FFFFFF}", r"\x{0A}\x{41}\x{D800}\x{FFFFFF}"),
    ],
)
def test_characters_beyond_ascii_may_be_embedded_and_no_others(embedded: str, address: str) -> None:
    assert xtext.decode_embedded(embedded) == address


def test_an_address_beyond_ascii_is_spelled_in_ascii_for_a_plain_report() -> None:
    assert xtext.encode_embedded("bäb@x") == r"b\x{E4}b@x"
