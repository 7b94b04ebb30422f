"""Has spin search a model: every state within its bounds, or those up to the first broken promise."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

MODELS = Path(__file__).parent.parent.parent / "models"

_BROKEN = re.compile(r"assertion violated\s+(\S.*?) \(at depth")
_STORED = re.compile(r"(\d+) states, stored")
# Every state, each kept whole: no reduction, no hashes for states, no bound on the depth that would ever be met.
_SEARCH = ["-E", "-n", "-m1000000"]
_TABLE = {True: "-w20", False: "-w23"}
_PATIENCE_S = 300


class Search(NamedTuple):
    """What a search came to: the assertion that failed, if one did, and how many states it saw.

    `is_complete` says that no state was left out.
    """

    broken: str
    states: int
    is_complete: bool


def search(directory: Path, model: str, *macros: str, is_small: bool = False) -> Search:
    """Search a model; `is_small` says that few states are expected, for which no compiler needs to optimise."""
    defines = [f"-D{macro}" for macro in macros]
    run(directory, "spin", "-a", *defines, str(MODELS / f"{model}.pml"))
    run(directory, "gcc", "-O0" if is_small else "-O2", "-w", "-DSAFETY", "-DNOREDUCE", "-o", "pan", "pan.c")
    report = run(directory, "./pan", *_SEARCH, _TABLE[is_small])
    broken, stored = _BROKEN.search(report), _STORED.search(report)
    if stored is None:
        raise RuntimeError(f"pan says nothing that is understood:\n{report}")
    is_whole = "Full statespace search for:" in report and "errors: 0" in report
    is_complete = is_whole and not re.search("not completed|truncated|too small|error: ", report)
    return Search(broken[1] if broken else "", int(stored[1]), is_complete)


def run(directory: Path, *command: str) -> str:
    """What a command says, which has to succeed. Raises: RuntimeError."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr
