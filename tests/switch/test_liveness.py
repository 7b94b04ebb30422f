from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from nightmail.journal.records import Adopted
from nightmail.switch.liveness import LifeLock, Machine

HERE = Machine("machine-1", "boot-1")
HOLD = """
import sys
from nightmail.switch.liveness import LifeLock
life = LifeLock(sys.argv[1])
print("locked", flush=True)
sys.stdin.read()
"""


def owner(lock: Path, machine: str = "machine-1", boot: str = "boot-1") -> Adopted:
    return Adopted(1, "mx1", "life-1", machine, boot, str(lock))


def test_a_process_is_proven_dead_once_its_lock_is_free(tmp_path: Path) -> None:
    lock = tmp_path / "alive" / "life-1"
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        assert not HERE.is_proven_dead(owner(lock))
        process.kill()
        process.wait()
    assert HERE.is_proven_dead(owner(lock))


def test_nothing_is_proven_of_another_machine_or_another_boot_or_without_the_file(tmp_path: Path) -> None:
    lock = tmp_path / "alive" / "life-1"
    lock.parent.mkdir()
    assert not HERE.is_proven_dead(owner(lock))
    lock.touch()
    assert HERE.is_proven_dead(owner(lock))
    assert not HERE.is_proven_dead(owner(lock, machine="machine-2"))
    assert not HERE.is_proven_dead(owner(lock, boot="boot-2"))
    assert not Machine("", "").is_proven_dead(owner(lock, machine="", boot=""))


def test_our_own_life_is_not_over(tmp_path: Path) -> None:
    life = LifeLock(str(tmp_path / "alive" / "life-1"))
    assert not HERE.is_proven_dead(owner(Path(life.path)))


def test_files_of_lives_that_ended_long_ago_are_removed_and_no_others(tmp_path: Path) -> None:
    directory = tmp_path / "alive"
    life = LifeLock(str(directory / "ours"))
    living = LifeLock(str(directory / "living"))
    for name in ("old", "recent"):
        (directory / name).touch()
    for name in ("old", "living", "ours"):
        os.utime(directory / name, (1_000, 1_000))
    os.utime(directory / "recent", (1_000_000, 1_000_000))
    life.remove_old(1_000_100)
    assert sorted(path.name for path in directory.iterdir()) == ["living", "ours", "recent"]
    assert os.path.exists(living.path)
