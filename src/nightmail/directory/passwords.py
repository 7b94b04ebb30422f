"""Passwords held against what a directory stores of them (userPassword, RFC 2307 §5.3 and what came after).

What takes long on purpose takes as long as whoever stored it wanted, up to a bound: this is for a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from passlib import hash as schemes

_BCRYPT_BYTES = 72  # what bcrypt looks at; crypt(3) ignores the rest, and so do we


class PasswordFault(ValueError):
    """What is stored is nothing that is compared here; the message says why."""


class _Scheme(NamedTuple):
    handler: Any
    prefix: str = ""
    """What stands for what was written before the value in braces."""
    rounds_limit: int = 0


_IN_BRACES = {
    "SSHA": _Scheme(schemes.ldap_salted_sha1, "{SSHA}"),
    "SSHA256": _Scheme(schemes.ldap_salted_sha256, "{SSHA256}"),
    "SSHA512": _Scheme(schemes.ldap_salted_sha512, "{SSHA512}"),
    "ARGON2": _Scheme(schemes.argon2, "", 20),
    "PBKDF2-SHA256": _Scheme(schemes.pbkdf2_sha256, "$pbkdf2-sha256$", 2_000_000),
    "PBKDF2-SHA512": _Scheme(schemes.pbkdf2_sha512, "$pbkdf2-sha512$", 2_000_000),
}
_CRYPT = {
    "$2a$": _Scheme(schemes.bcrypt, "", 14),
    "$2b$": _Scheme(schemes.bcrypt, "", 14),
    "$2y$": _Scheme(schemes.bcrypt, "", 14),
    "$5$": _Scheme(schemes.sha256_crypt, "", 1_000_000),
    "$6$": _Scheme(schemes.sha512_crypt, "", 1_000_000),
}
_MEMORY_LIMIT_KIB = 1 << 18
DECOY = "{SSHA512}" + "A" * 96
"""What nobody's password is."""


def is_password(password: str, stored: str) -> bool:
    """Whether a password is the one of which `stored` was made, in a time that does not tell how much of it is right.

    Raises:
        PasswordFault: it was stored in a way that is not compared, or that costs too much.
    """
    scheme, text = _scheme_of(stored)
    secret = password.encode()
    if scheme.handler is schemes.bcrypt:
        secret = secret[:_BCRYPT_BYTES]
    _check_cost(scheme, _understood(lambda: scheme.handler.from_string(text)))
    return bool(_understood(lambda: scheme.handler.verify(secret, text)))


def _scheme_of(stored: str) -> tuple[_Scheme, str]:
    name, brace, value = stored.removeprefix("{").partition("}")
    if not (brace and stored.startswith("{")):
        raise PasswordFault("a password is stored as it is, which is not compared")
    name = name.upper()
    scheme = _IN_BRACES.get(name)
    if scheme is not None:
        return scheme, scheme.prefix + value
    if name == "CRYPT":
        for start, scheme in _CRYPT.items():
            if value.startswith(start):
                return scheme, value
    raise PasswordFault(
        f"a password is stored as {{{name[:20]}}}, which is not compared, or in a form of it that is not"
    )


def _check_cost(scheme: _Scheme, parsed: Any) -> None:
    if scheme.rounds_limit and parsed.rounds > scheme.rounds_limit:
        raise PasswordFault(f"a password is stored so that comparing it takes {parsed.rounds} rounds, too many")
    if getattr(parsed, "memory_cost", 0) > _MEMORY_LIMIT_KIB:
        raise PasswordFault(f"a password is stored so that comparing it takes {parsed.memory_cost} KiB, too much")


def _understood(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (ValueError, TypeError) as error:  # whatever the library says may have part of the value in it
        raise PasswordFault("what is stored as a password can't be read") from error
