from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.mail.address import fold_domain, split


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("alice@example.org", ("alice", "example.org")),
        ('"a@b"@example.org', ('"a@b"', "example.org")),
        ("postmaster", ("postmaster", "")),
        ("", ("", "")),
    ],
)
def test_the_last_at_separates_the_local_part_from_the_domain(address: str, parts: tuple[str, str]) -> None:
    assert split(address) == parts


@pytest.mark.parametrize(
    ("domain", "folded"),
    [
        ("Example.ORG", "example.org"),
        ("example.org.", "example.org"),
        ("exämple.org", "xn--exmple-cua.org"),
        ("EXÄMPLE.org", "xn--exmple-cua.org"),
        ("例え。jp", "xn--r8jz45g.jp"),
        ("[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]"),
    ],
)
def test_domains_are_compared_in_one_form(domain: str, folded: str) -> None:
    assert fold_domain(domain) == folded


@pytest.mark.parametrize("domain", ["ä..org", "☃" * 70, "ä b.org"])
def test_what_can_be_no_domain_is_refused(domain: str) -> None:
    with pytest.raises(ValueError, match="not an internationalised domain name"):
        fold_domain(domain)


@given(st.text())
def test_folding_any_text_gives_lower_case_or_a_value_error_and_is_done_after_one_time(domain: str) -> None:
    with contextlib.suppress(ValueError):
        folded = fold_domain(domain)
        assert folded == fold_domain(folded)
