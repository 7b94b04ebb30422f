"""Whether a file of slapd's database can be read to its end, found out by a process of its own: it may die of it."""

from __future__ import annotations

import subprocess
import sys

import lmdb

_LIMIT_S = 600.0
_NAMES_MAX = 128


def is_sound(directory: str) -> bool:
    """Whether all of the database in `directory`, which nobody uses, can be read; blocks for that long."""
    words = [sys.executable, "-m", __name__, directory]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_S, check=False)  # noqa: S603 - our own
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def read_all(directory: str) -> None:
    """Read everything, indexes included. Raises: lmdb.Error: it is damaged, if the process lives to tell."""
    with (
        lmdb.open(directory, readonly=True, lock=False, create=False, max_dbs=_NAMES_MAX) as environment,
        environment.begin() as transaction,
    ):
        for name in [*transaction.cursor().iternext(values=False)]:
            database = environment.open_db(name, transaction, create=False)
            for key, value in transaction.cursor(database).iternext():
                hash(key + value)  # looked at, and not only found


if __name__ == "__main__":
    read_all(sys.argv[1])
