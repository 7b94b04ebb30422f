"""What was last known of the directory, on this server's disk: with it a server starts while every replica is away."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from nightmail.directory.tree import Item

COPY_NAME = "directory.last"
"""Its file, in the directory of a server's replica."""

_FORMAT = 3
"""Since 3, policies are among the entries."""


class PartCopy(msgspec.Struct, frozen=True):
    """The entries of one part by their ids, as a replica sent them up to its `cookie`."""

    cookie: str = ""
    content: dict[str, Item] = {}


class LastCopy(msgspec.Struct, frozen=True):
    """What is known of each part, by the names of their bases; and by their names the entries in force, of them all."""

    format: int = _FORMAT
    suffix: str = ""
    parts: Mapping[str, PartCopy] = {}
    in_force: dict[str, Item] = {}

    @property
    def items(self) -> list[Item]:
        """The entries of all parts, whether in force or not."""
        return [item for part in self.parts.values() for item in part.content.values()]


class _OfTheWhole(msgspec.Struct, frozen=True):
    """The format 1, of the time when a directory was always one part."""

    format: int
    suffix: str
    cookie: str
    content: dict[str, Item]
    in_force: dict[str, Item]


_decode = msgspec.msgpack.Decoder(LastCopy).decode
_decode_whole = msgspec.msgpack.Decoder(_OfTheWhole).decode
_encode = msgspec.msgpack.Encoder().encode


def read_copy(path: str, suffix: str) -> LastCopy | None:
    """The copy at `path`, if there is one of this directory, in this format or an earlier one, and whole."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        copy = _decode(data)
        if copy.format == 1:
            copy = _of_one_part(_decode_whole(data))
        if copy.format == 2:
            copy = _without_cookies(copy)
    except (OSError, msgspec.DecodeError):
        return None
    return copy if (copy.format, copy.suffix) == (_FORMAT, suffix) else None


def _of_one_part(copy: _OfTheWhole) -> LastCopy:
    return LastCopy(
        format=2, suffix=copy.suffix, parts={copy.suffix: PartCopy(copy.cookie, copy.content)}, in_force=copy.in_force
    )


def _without_cookies(copy: LastCopy) -> LastCopy:
    """Policies were not asked for: all is asked for anew, or those from before the cookie would never come."""
    parts = {base: msgspec.structs.replace(part, cookie="") for base, part in copy.parts.items()}
    return msgspec.structs.replace(copy, format=_FORMAT, parts=parts)


def write_copy(path: str, copy: LastCopy) -> None:
    """Put a copy in the place of the last one, in one step. Raises: OSError."""
    unfinished = f"{path}.new"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(_encode(copy))
        file.flush()
        os.fsync(descriptor)
    os.replace(unfinished, path)
