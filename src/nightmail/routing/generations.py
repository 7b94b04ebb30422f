"""Compiled tables as files: each compilation is a new generation, switches open the newest.

The supervisor compiles. A file gets its name when it is complete. The two newest generations are kept, so that the one
a switch is about to open is not taken away; what is unlinked stays readable for whoever has it mapped.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable

import lmdb

from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.routing.compilation import Compilation
from nightmail.routing.compiled import CompiledSnapshot, Lookups, Summary, Writer, open_snapshot
from nightmail.routing.model import Maps
from nightmail.routing.source import Source
from nightmail.routing.tables import TextTables

_GENERATION = re.compile(r"tables\.([0-9]{8})\.lmdb")
_UNFINISHED = "tables.unfinished"
_KEPT_GENERATIONS = 2
_OPENING_ATTEMPTS = 10
# Address space, not disk: a short line can grow to some twenty times its length in pages that are half filled.
_ROOM_PER_BYTE = 32
_ROOM_AT_LEAST_BYTES = 64 << 20


def compile_tables(directory: str, output: str, base: str | None = None, kind: type[TextTables] = TextTables) -> str:
    """Compile the tables in `directory` into the next generation in the directory `output`; return the file's path.

    Relative paths in routes start from `base`, by default the directory above the tables; `kind` reads them. Large
    tables take seconds: this is not for an event loop's own thread.

    Raises:
        ConfigInvalid: a table is wrong, or the file can't be written. The generations that are there stay.
    """
    if not os.path.isdir(directory):
        right = "make it, or name the directory with the tables in [tables] directory"
        raise ConfigInvalid(directory, "there is no such directory", right)
    base = os.path.dirname(os.path.abspath(directory)) if base is None else base
    return compile_source(kind(directory), output, base)


def compile_source(source: Source, output: str, base: str) -> str:
    """Compile what a source says as `compile_tables` does.

    Raises:
        ConfigInvalid: something in it is wrong, or the file can't be written. The generations that are there stay.
    """
    try:
        os.makedirs(output, exist_ok=True)
        _remove(output, *(name for name in os.listdir(output) if name.startswith(_UNFINISHED)))
        unfinished = os.path.join(output, _UNFINISHED)
        _write(unfinished, source, base)
        path = _next_generation(output)
        os.rename(unfinished, path)
        _remove(output, *_generations(output)[:-_KEPT_GENERATIONS])
    except (OSError, lmdb.Error) as error:
        wrong = f"the compiled tables can't be written: {error}"
        raise ConfigInvalid(output, wrong, "make room, or let the server's user write there") from error
    return path


def check_tables(directory: str, scratch: str, base: str | None = None, kind: type[TextTables] = TextTables) -> Summary:
    """Check the tables without putting them into force; `scratch` is an empty directory to work in.

    Raises:
        ConfigInvalid: a table is wrong.
    """
    snapshot = open_snapshot(compile_tables(directory, scratch, base, kind))
    snapshot.close()
    return snapshot.summary


def newest_generation(output: str) -> str | None:
    """The path of the newest compiled file in the directory `output`, if there is one."""
    generations = _generations(output)
    return os.path.join(output, generations[-1]) if generations else None


def open_newest(
    output: str, hostname: str = "localhost", complete: Callable[[Lookups], Maps] = lambda lookups: lookups
) -> CompiledSnapshot:
    """Open the newest compiled file; see `open_snapshot`.

    Raises:
        DirectoryUnavailable: there is none, or it can't be opened.
    """
    for _ in range(_OPENING_ATTEMPTS):
        path = newest_generation(output)
        if path is None:
            break
        try:
            return open_snapshot(path, hostname, complete)
        except DirectoryUnavailable:
            # One that was replaced in this very moment is no fault; the same one again is.
            if newest_generation(output) == path:
                raise
    raise DirectoryUnavailable(f"{output}: there are no compiled tables")


def _write(path: str, source: Source, base: str) -> None:
    try:
        with Writer(path, _ROOM_AT_LEAST_BYTES + _ROOM_PER_BYTE * source.size_bytes()) as writer:
            Compilation(source, base, writer).run()
    except BaseException:
        _remove(os.path.dirname(path), os.path.basename(path))
        raise


def _generations(output: str) -> list[str]:
    try:
        return sorted(filter(_GENERATION.fullmatch, os.listdir(output)))
    except FileNotFoundError:
        return []


def _next_generation(output: str) -> str:
    generations = _generations(output)
    newest = _GENERATION.fullmatch(generations[-1]) if generations else None
    return os.path.join(output, f"tables.{int(newest[1]) + 1 if newest else 1:08}.lmdb")


def _remove(directory: str, *names: str) -> None:
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(directory, name))
