"""The machine a figure was measured on, without which it means nothing."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import nightmail.smtp.server
from bench import postfix
from bench.processes import CLOCK


def describe(directory: Path) -> list[tuple[str, str]]:
    """Date, machine and versions as pairs of a label and a text."""
    day = datetime.datetime.fromtimestamp(CLOCK.wall(), datetime.UTC)
    return [
        ("date", day.strftime("%Y-%m-%d %H:%M UTC")),
        (
            "machine",
            f"{os.cpu_count()} cores ({_processor()}), {_memory_gib():.0f} GiB, load tools on the same machine",
        ),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("file system", file_system(directory)),
        ("Python", platform.python_version()),
        (
            "nightmail",
            f"{version('nightmail')}{', compiled' if nightmail.smtp.server.__file__.endswith('.so') else ''}",
        ),
        ("Postfix", postfix.version()),
    ]


def spread(directory: Path) -> None:
    """Have what is made in `directory` lie apart on the disk, so that one contender's leavings burden no other.

    On ext4 files are made in their directory's block group, and slowly (a millisecond each) where thousands were just
    deleted. A directory marked as the top of a hierarchy puts its children into groups of their own.
    """
    subprocess.run(["chattr", "+T", str(directory)], capture_output=True, check=False)


def file_system(directory: Path) -> str:
    """The type of the file system that holds `directory`."""
    command = ["df", "--output=fstype", str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _memory_gib() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
