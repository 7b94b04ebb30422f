"""Paths as MAIL and RCPT carry them: mailboxes, quoted local parts, address literals, source routes (RFC 5321 §4.1.2).

More is understood than the grammar allows where the world is known to send it and no harm comes of it: a blank before
the path, dots anywhere in a local part, underscores in a domain. Never a path without its angle brackets.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from nightmail.errors import ProtocolViolation
from nightmail.mail.address import fold_domain
from nightmail.mail.reply import Reply

PATH_LIMIT = 256
"""Octets of a path, its brackets included (RFC 5321 §4.5.3.1.3)."""

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
# Possessive quantifiers keep the matching linear; only of single characters, for of groups Python 3.11.4 and older
# matches too much (as in Debian 12). What repeats a group here can be read in one way only.
_LABEL = r"(?!-)[A-Za-z0-9_\-]{1,63}+(?<!-)"
DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
MAILBOX = rf"[{_ATEXT}.]++@{DOMAIN}"
"""The common mailbox: no quotes, no literal, no character beyond ASCII."""

_DOMAIN = re.compile(DOMAIN)
_DOT_STRING = re.compile(rf"[{_ATEXT}.\u0080-\U0010ffff]++")
_PATH = re.compile(
    rf"""[ ]?<
    (?:@[^<>:,\s]++(?:,@[^<>:,\s]++)*:)?                                  # a source route, to be ignored (§4.1.1.3)
    (?:(?P<local>{_DOT_STRING.pattern}|"(?:[^"\\]|\\.)+")
       (?:@(?P<domain>\[[^\[\]\\\s]++\]|[^\s<>()@,;:"\\\[\]]++))?
    )?>(?:[ ]+(?P<parameters>.*))?""",
    re.VERBOSE,
)
_QUOTED_PAIR = re.compile(r"\\(.)")
_TO_QUOTE = re.compile(r'(["\\])')

NEEDS_SMTPUTF8 = Reply(553, "5.6.7", "This address needs SMTPUTF8")


def split_path(text: str, refusal: Reply) -> tuple[str, str, str]:
    """The local part, the domain and the parameters that follow the path `text` begins with.

    All three may be empty: `<>` is the null path, and `postmaster` needs no domain.

    Raises:
        ProtocolViolation: it is no path; carries `refusal`.
    """
    match = _PATH.fullmatch(text)
    if match is None:
        raise ProtocolViolation("not a path", refusal)
    local, domain, parameters = match.group("local", "domain", "parameters")
    return _unquote(local or ""), domain or "", parameters or ""


def mailbox(local: str, domain: str, smtputf8: bool, refusal: Reply) -> str:
    """The address that both parts make.

    Raises:
        ProtocolViolation: the domain can't be one, or characters beyond ASCII came without SMTPUTF8 (RFC 6531 §3.3).
    """
    if not smtputf8 and not (local.isascii() and domain.isascii()):
        raise ProtocolViolation("an address beyond ASCII without SMTPUTF8", NEEDS_SMTPUTF8)
    address = f"{local}@{domain}"
    if not is_domain(domain) or len(address.encode()) > PATH_LIMIT - 2:
        raise ProtocolViolation("not a domain, or too long", refusal)
    return address


def is_domain(domain: str) -> bool:
    """Whether it is a domain name, internationalised or not, or the literal of an IP address."""
    if domain.startswith("["):
        return is_literal(domain)
    if domain.isascii():
        return len(domain) < 256 and _DOMAIN.fullmatch(domain) is not None
    try:
        return _DOMAIN.fullmatch(fold_domain(domain)) is not None and not domain.endswith(".")
    except ValueError:
        return False


def is_literal(text: str) -> bool:
    """Whether it is an address literal of IPv4 or IPv6 (RFC 5321 §4.1.3)."""
    inside = text[1:-1]
    try:
        if inside[:5].upper() == "IPV6:":
            IPv6Address(inside[5:])
        else:
            IPv4Address(inside)
    except AddressValueError:
        return False
    return text.startswith("[") and text.endswith("]") and "%" not in inside


def _unquote(local: str) -> str:
    """One form for each local part: quotes stay only where they are needed (RFC 5321 §4.1.2)."""
    if not local.startswith('"'):
        return local
    plain = _QUOTED_PAIR.sub(r"\1", local[1:-1])
    if _DOT_STRING.fullmatch(plain):
        return plain
    return '"' + _TO_QUOTE.sub(r"\\\1", plain) + '"'
