from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nightmail.errors import ConfigInvalid
from nightmail.supervisor.run_directory import PID_FILE, RunDirectory


def test_who_has_it_is_written_down(tmp_path: Path) -> None:
    run = RunDirectory(str(tmp_path / "run"))
    run.take()
    run.give_to(os.getuid(), os.getgid())
    assert (tmp_path / "run" / PID_FILE).read_text() == f"{os.getpid()}\n"
    run.leave()
    assert (tmp_path / "run" / PID_FILE).read_text() == ""


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_a_link_in_the_place_of_the_pid_file_is_refused(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    shadow = tmp_path / "shadow"
    shadow.write_text("root:secret\n")
    (tmp_path / "run").mkdir()
    link(shadow, tmp_path / "run" / PID_FILE)
    with pytest.raises(ConfigInvalid, match=r"supervisor\.pid is (not a plain file|a symbolic link)"):
        RunDirectory(str(tmp_path / "run")).take()
    assert shadow.read_text() == "root:secret\n"


def test_a_fifo_in_the_place_of_the_pid_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / PID_FILE)
    with pytest.raises(ConfigInvalid, match="plain file"):
        RunDirectory(str(tmp_path)).take()


def test_a_link_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "etc")
    with pytest.raises(ConfigInvalid, match="is a symbolic link"):
        RunDirectory(str(tmp_path / "run")).take()
    assert list((tmp_path / "etc").iterdir()) == []
