"""How a command fails: one line on standard error, and an exit code that scripts can tell apart (sysexits.h)."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from nightmail.errors import ConfigInvalid


class CommandFailed(Exception):
    """The command came to nothing; `exit_code` is one of os.EX_*."""

    def __init__(self, exit_code: int, reason: str) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


_EXIT_CODES: Mapping[str, int] = {
    "refused": os.EX_NOPERM,
    "another secret": os.EX_CONFIG,
    "shows nobody": os.EX_CONFIG,
}


def exit_code_for(outcomes: Collection[str], otherwise: int) -> int:
    """The exit code where this came of asking servers of a directory: what a person has to mend comes first."""
    return next((code for outcome, code in _EXIT_CODES.items() if outcome in outcomes), otherwise)


class GivenWrong(CommandFailed):
    """What the command was given is wrong, such as a file or an entry's name; see ConfigInvalid."""

    def __init__(self, place: str, wrong: str, right: str = "") -> None:
        super().__init__(os.EX_DATAERR, str(ConfigInvalid(place, wrong, right)))


@contextmanager
def given() -> Iterator[None]:
    """In here nothing but what the command was given is looked at. Raises: GivenWrong: it is wrong."""
    try:
        yield
    except ConfigInvalid as fault:
        raise GivenWrong(fault.place, fault.wrong, fault.right) from fault


@contextmanager
def written_to(place: str) -> Iterator[None]:
    """In here nothing but what the command was told to write to is written. Raises: GivenWrong: it can't be."""
    try:
        yield
    except OSError as error:
        wrong = f"it can't be written: {os.strerror(error.errno or 0)}"
        raise GivenWrong(place, wrong, "name another place") from error


def complain(reason: object) -> None:
    """Say what is wrong, on one line."""
    sys.stderr.write(f"nightmail: {' '.join(str(reason).split())}\n")
