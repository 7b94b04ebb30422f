"""The note beside a replica's entries outlasts it, and what can't be read is no note."""

from __future__ import annotations

from pathlib import Path

import pytest

from nightmail.directory.held import Held
from nightmail.directory.role import epoch_in


def test_it_is_there_for_whoever_comes_after(tmp_path: Path) -> None:
    assert Held(str(tmp_path)).read() == ""
    Held(str(tmp_path)).write("7 life")
    Held(str(tmp_path)).write("8 life")
    assert Held(str(tmp_path)).read() == "8 life"
    assert [file.name for file in tmp_path.iterdir()] == ["epoch"]
    assert (tmp_path / "epoch").stat().st_mode & 0o777 == 0o600


def test_one_that_was_forgotten_or_is_none_says_nothing(tmp_path: Path) -> None:
    held = Held(str(tmp_path))
    held.forget()
    held.write("7 life")
    held.forget()
    assert held.read() == ""
    (tmp_path / "epoch").write_bytes(b"\xff")
    assert held.read() == ""


def test_one_that_is_void_is_there_and_of_no_epoch(tmp_path: Path) -> None:
    Held(str(tmp_path / "none")).void()
    assert not (tmp_path / "none").exists(), "without entries there is nothing that might count"
    held = Held(str(tmp_path))
    held.write("7 life")
    held.void()
    assert (held.read(), epoch_in(held.read())) == ("void", 0)


def test_a_link_in_its_place_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("kept")
    (tmp_path / "epoch.unfinished").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        Held(str(tmp_path)).write("7 life")
    assert (tmp_path / "elsewhere").read_text() == "kept"
