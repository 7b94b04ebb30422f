"""Addresses: their two parts, and the one form in which domains are compared (RFC 5321 §4.1.2, RFC 5890, RFC 6531)."""

from __future__ import annotations

from functools import lru_cache

import idna


def split(address: str) -> tuple[str, str]:
    """The local part and the domain of `address`; the domain is empty where there is none.

    A quoted local part may hold an `@`: the last one separates.
    """
    local_part, at, domain = address.rpartition("@")
    return (local_part, domain) if at else (address, "")


@lru_cache(maxsize=4096)
def fold_domain(domain: str) -> str:
    """The domain in the form in which it is compared: lower case, U-labels turned into A-labels, no final dot.

    Raises:
        ValueError: it can't be a domain name.
    """
    if domain.startswith("["):
        return domain.lower()
    folded = domain.rstrip(".").lower()
    if folded.isascii():
        return folded
    try:
        return idna.encode(folded, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise ValueError(f"{domain!r} is not an internationalised domain name: {error}") from error
