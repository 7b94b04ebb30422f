"""One at a time writes into a replica's directory: whoever lays down its configuration, or loads entries.

A server that is to stop may have to leave behind a thread that loads entries, and is started again meanwhile.
"""

from __future__ import annotations

import fcntl
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, TypeVar

from nightmail.directory.replica import Replica
from nightmail.errors import ConfigInvalid

_NAME = "lock"

_Further = ParamSpec("_Further")
_Result = TypeVar("_Result")


@contextmanager
def alone_in(directory: str) -> Iterator[None]:
    """Be the only one that writes there.

    Raises:
        ConfigInvalid: somebody else does.
        OSError: it can't be written.
    """
    os.makedirs(directory, mode=0o700, exist_ok=True)
    descriptor = os.open(os.path.join(directory, _NAME), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        _lock(descriptor, directory)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        wrong = "somebody else loads entries there, or writes the configuration of slapd"
        raise ConfigInvalid(directory, wrong, "wait until that is done, and repeat this") from error


def alone(work: Callable[Concatenate[Replica, _Further], _Result]) -> Callable[Concatenate[Replica, _Further], _Result]:
    """Have a function be the only one that writes into the directory of the replica that it is given first."""

    @functools.wraps(work)
    def work_alone(replica: Replica, /, *further: _Further.args, **named: _Further.kwargs) -> _Result:
        with alone_in(replica.directory):
            return work(replica, *further, **named)

    return work_alone
