"""Passwords held against what was stored of them: by slapd's own tool, in every way that is compared."""

from __future__ import annotations

import subprocess

import pytest
from passlib import hash as schemes

from nightmail.directory.passwords import DECOY, PasswordFault, is_password

RIGHT = "pässword with $pace"


def slappasswd(scheme: str, *options: str) -> str:
    """What OpenLDAP's tool makes of the password."""
    path = "/usr/sbin:/usr/local/sbin:/usr/bin"
    made = subprocess.run(
        ["slappasswd", "-h", f"{{{scheme}}}", *options, "-n", "-s", RIGHT],
        capture_output=True, text=True, check=True, env={"PATH": path},
    )  # fmt: skip
    return made.stdout


STORED = [
    slappasswd("SSHA"),
    slappasswd("SSHA256", "-o", "module-load=pw-sha2"),
    slappasswd("SSHA512", "-o", "module-load=pw-sha2"),
    slappasswd("ARGON2", "-o", "module-load=argon2"),
    slappasswd("CRYPT", "-c", "$6$%.16s"),
    slappasswd("CRYPT", "-c", "$5$%.16s"),
    "{CRYPT}" + schemes.bcrypt.using(rounds=5).hash(RIGHT),
    schemes.pbkdf2_sha256.using(rounds=1000).hash(RIGHT).replace("$pbkdf2-sha256$", "{PBKDF2-SHA256}"),
    schemes.pbkdf2_sha512.using(rounds=1000).hash(RIGHT).replace("$pbkdf2-sha512$", "{PBKDF2-SHA512}"),
]


@pytest.mark.parametrize("stored", STORED, ids=lambda stored: stored[:12])
def test_the_right_password_is_known_and_no_other(stored: str) -> None:
    assert is_password(RIGHT, stored)
    assert is_password(RIGHT, stored.replace(stored.partition("}")[0], stored.partition("}")[0].lower()))
    for wrong in ("", RIGHT + " ", RIGHT.upper(), stored):
        assert not is_password(wrong, stored)


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        (RIGHT, "stored as it is"),
        ("{CLEARTEXT}" + RIGHT, "{CLEARTEXT}, which is not compared"),
        ("{MD5}X03MO1qnZdYdgyfeuILPmQ==", "{MD5}, which is not compared"),
        ("{CRYPT}abJnggxhB/yWI", "{CRYPT}, which is not compared, or in a form of it"),
        ("{SSHA}!!", "can't be read"),
        ("{ARGON2}$argon2id$v=19$m=1048576,t=3,p=1$c29tZXNhbHQ$" + "A" * 43, "1048576 KiB, too much"),
        ("{CRYPT}$6$rounds=999999999$saltsalt$" + "A" * 86, "999999999 rounds, too many"),
        ("", "stored as it is"),
    ],
)
def test_what_is_not_compared_is_named_and_never_shown(stored: str, why: str) -> None:
    with pytest.raises(PasswordFault) as fault:
        is_password(RIGHT, stored)
    assert why in str(fault.value)
    assert RIGHT not in str(fault.value)
    assert "A" * 43 not in str(fault.value)


def test_what_bcrypt_does_not_look_at_makes_no_difference_here_either() -> None:
    stored = "{CRYPT}" + schemes.bcrypt.using(rounds=5).hash("x" * 72)
    assert is_password("x" * 80, stored)


def test_nobodys_password_is_nobodys() -> None:
    assert not any(is_password(each, DECOY) for each in ("", RIGHT, DECOY))
