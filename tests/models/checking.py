"""Has spin search a model: every state within its bounds, or those up to the first broken promise."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

MODELS = Path(__file__).parent.parent.parent / "models"

_BROKEN = re.compile(r"assertion violated\s+(\S.*?) \(at depth")
_STORED = re.compile(r"(\d+) states, stored")
_INCOMPLETE = re.compile(r"not completed|truncated|too small|error: ")
_UNREACHED = re.compile(r"^unreached in proctype witness\n((?:\t.*\n)*)", re.MULTILINE)
# Every state is kept whole (no hashes in its stead), and no reduction leaves any out.
_COMPILE = ["-w", "-DSAFETY", "-DNOREDUCE", "-o", "pan", "pan.c"]
# A process that stops is one that halted, no deadlock. A search that meets the bound of depth says so.
_SEARCH = ["./pan", "-E", "-m1000000"]
_PATIENCE_S = 600


class Search(NamedTuple):
    """What a search came to: the assertion that failed, if one did, and how many states it saw.

    `is_complete` says that no state was left out; `unreached` has the lines of the witness that never happened.
    """

    broken: str
    states: int
    is_complete: bool
    unreached: list[str]


def search(directory: Path, model: str, *macros: str) -> Search:
    """Search a model to its end."""
    return _search(directory, model, macros, "-O1", "-w23")


def search_a_little(directory: Path, model: str, *macros: str) -> Search:
    """The same where few states are expected: the compiler is what takes time."""
    return _search(directory, model, macros, "-O0", "-w20")


def _search(directory: Path, model: str, macros: tuple[str, ...], optimise: str, table: str) -> Search:
    defines = [f"-D{macro}" for macro in macros]
    _run(directory, "spin", "-a", *defines, str(MODELS / f"{model}.pml"))
    _run(directory, "gcc", optimise, *_COMPILE)
    report = _run(directory, *_SEARCH, table)
    broken, stored, unreached = _BROKEN.search(report), _STORED.search(report), _UNREACHED.search(report)
    if stored is None:
        raise RuntimeError(f"nothing that is understood:\n{report}")
    is_whole = "Full statespace search for:" in report and "errors: 0" in report
    return Search(
        broken[1] if broken else "",
        int(stored[1]),
        is_whole and not _INCOMPLETE.search(report),
        [line.strip() for line in unreached[1].splitlines() if "printf" in line] if unreached else [],
    )


def _run(directory: Path, *command: str) -> str:
    """What a command says, which has to succeed. Raises: RuntimeError."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr
