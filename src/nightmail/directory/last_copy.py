"""What was last known of the directory, on this server's disk: with it a server starts while every replica is away."""

from __future__ import annotations

import os

import msgspec

from nightmail.directory.tree import Item

COPY_NAME = "directory.last"
"""Its file, in the directory of a server's replica."""

_FORMAT = 1


class LastCopy(msgspec.Struct, frozen=True):
    """The entries by their ids as a replica sent them up to its `cookie`, and by their names those in force."""

    format: int = _FORMAT
    suffix: str = ""
    cookie: str = ""
    content: dict[str, Item] = {}
    in_force: dict[str, Item] = {}


_decode = msgspec.msgpack.Decoder(LastCopy).decode
_encode = msgspec.msgpack.Encoder().encode


def read_copy(path: str, suffix: str) -> LastCopy | None:
    """The copy at `path`, if there is one of this directory, in this release's format, and whole."""
    try:
        with open(path, "rb") as file:
            copy = _decode(file.read())
    except (OSError, msgspec.DecodeError):
        return None
    return copy if (copy.format, copy.suffix) == (_FORMAT, suffix) else None


def write_copy(path: str, copy: LastCopy) -> None:
    """Put a copy in the place of the last one, in one step. Raises: OSError."""
    unfinished = f"{path}.new"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(_encode(copy))
        file.flush()
        os.fsync(descriptor)
    os.replace(unfinished, path)
