"""How a command fails: one line on standard error, and an exit code that scripts can tell apart (sysexits.h)."""

from __future__ import annotations

import sys


class CommandFailed(Exception):
    """The command came to nothing; `exit_code` is one of os.EX_*."""

    def __init__(self, exit_code: int, reason: str) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


def complain(reason: object) -> None:
    """Say what is wrong, on one line."""
    sys.stderr.write(f"nightmail: {' '.join(str(reason).split())}\n")
