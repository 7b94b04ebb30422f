"""The cluster's secret: read if it is one, refused with the place and the remedy if it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from nightmail.config.secret import read_password, read_secret
from nightmail.errors import ConfigInvalid

SETTING = "[heartbeat] secret_file"


def written(path: Path, secret: bytes, mode: int = 0o600) -> str:
    path.write_bytes(secret)
    path.chmod(mode)
    return str(path)


def test_a_secret_is_what_stands_in_the_file_without_its_line_end(tmp_path: Path) -> None:
    assert read_secret(written(tmp_path / "key", b"0123456789abcdef\n"), SETTING) == b"0123456789abcdef"


def test_a_group_may_read_it(tmp_path: Path) -> None:
    assert read_secret(written(tmp_path / "key", b"0123456789abcdef", 0o640), SETTING)


@pytest.mark.parametrize(
    ("secret", "mode", "wrong"),
    [
        (b"0123456789abcdef", 0o644, "every user"),
        (b"0123456789abcdef", 0o620, "its group"),
        (b"0123456789abcde\n", 0o600, "15 octets"),
        (b"", 0o600, "0 octets"),
    ],
)
def test_what_is_no_secret_is_refused_with_the_remedy(tmp_path: Path, secret: bytes, mode: int, wrong: str) -> None:
    path = written(tmp_path / "key", secret, mode)
    with pytest.raises(ConfigInvalid, match=wrong) as refused:
        read_secret(path, SETTING)
    assert refused.value.place == f"{SETTING} {path}"
    assert "chmod 600" in refused.value.right


def test_a_file_that_is_not_there_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="No such file") as refused:
        read_secret(str(tmp_path / "key"), SETTING)
    assert "/dev/urandom" in refused.value.right


def test_a_password_is_the_first_line_and_may_be_short_and_have_spaces(tmp_path: Path) -> None:
    assert (
        read_password(written(tmp_path / "password", b"of the r\xc3\xa9ader \nand a remark\n"), SETTING)
        == "of the réader "
    )


@pytest.mark.parametrize(
    ("content", "mode", "wrong"),
    [
        (b"", 0o600, "no password"),
        (b"\nx", 0o600, "no password"),
        (b"\xff", 0o600, "UTF-8"),
        (b"x", 0o604, "every user"),
    ],
)
def test_what_is_no_password_is_refused(tmp_path: Path, content: bytes, mode: int, wrong: str) -> None:
    with pytest.raises(ConfigInvalid, match=wrong):
        read_password(written(tmp_path / "password", content, mode), SETTING)
