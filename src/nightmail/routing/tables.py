"""Reads table files: lines of `key  value`, as postmasters have written them since sendmail.

A `#` in the first column begins a comment, a line that begins with white space continues the last one, empty lines say
nothing. A file is read entry by entry, so that a large one needs no memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from typing import BinaryIO

from nightmail.errors import ConfigInvalid
from nightmail.routing.source import NAMES, Entry

_BYTE_ORDER_MARK = "\N{BYTE ORDER MARK}"


class TextTables:
    """The tables in the files of a directory; a `Source`."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def entries(self, name: str) -> Iterator[Entry]:
        """The entries of the table `name` in their order; none where there is no such file. Raises: ConfigInvalid."""
        return read_table(self._directory, name)

    def place(self, name: str) -> str:
        """The file of a table."""
        return os.path.join(self._directory, name)

    def digest(self) -> str:
        """A digest of all that the files hold."""
        digest = hashlib.blake2b(digest_size=16)
        for name in NAMES:
            with contextlib.suppress(FileNotFoundError), open(self.place(name), "rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
            digest.update(name.encode())
        return digest.hexdigest()

    def size_bytes(self) -> int:
        """The size of all files together."""
        size = 0
        for name in NAMES:
            with contextlib.suppress(FileNotFoundError):
                size += os.path.getsize(self.place(name))
        return size


def read_table(directory: str, name: str) -> Iterator[Entry]:
    """The entries of the table `name` in their order; none where there is no such file.

    Raises:
        ConfigInvalid: the file can't be read, or something in it is no entry.
    """
    path = os.path.join(directory, name)
    try:
        with open(path, "rb") as file:
            yield from _entries(file, path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigInvalid(path, f"it can't be read: {error.strerror}", "let the server's user read it") from error


def _entries(file: BinaryIO, path: str) -> Iterator[Entry]:
    place, words = "", list[str]()
    for number, raw in enumerate(file, start=1):
        line = _decode(raw, path, number).rstrip()
        if not line or line.startswith("#"):
            continue
        if not line[0].isspace():
            if words:
                yield _divide(place, words)
            place, words = f"{path}:{number}", [line]
        elif words:
            words.append(line.lstrip())
        else:
            raise ConfigInvalid(
                f"{path}:{number}",
                "the line begins with white space and continues nothing",
                "begin an entry, and a comment, in the first column",
            )
    if words:
        yield _divide(place, words)


def _decode(raw: bytes, path: str, number: int) -> str:
    try:
        line = raw.decode()
    except UnicodeDecodeError as error:
        raise ConfigInvalid(f"{path}:{number}", "the line is not UTF-8", "store the file as UTF-8") from error
    if "\0" in line:
        raise ConfigInvalid(f"{path}:{number}", "the line has a NUL", "a table is plain text")
    return line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line


def _divide(place: str, words: list[str]) -> Entry:
    line = " ".join(words)
    quoted = _end_of_quotes(line) if line.startswith('"') else 0
    key, *value = line[quoted:].split(None, 1) or [""]
    return Entry(place, line[:quoted] + key, value[0] if value else "")


def _end_of_quotes(line: str) -> int:
    """Where the quoted part of a local part ends, in which there may be spaces (RFC 5321 §4.1.2)."""
    at = 1
    while at < len(line) and line[at] != '"':
        at += 2 if line[at] == "\\" else 1
    return at
