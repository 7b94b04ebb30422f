"""Keys in byte order out of a tree of directories, read no further than they are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

from nightmail.store.keys import is_component

PAGE_SIZE = 1000


def pages(root: str, prefix: str, after: str) -> Iterator[list[str]]:
    """The keys under `prefix` that sort after `after`, in pages. Blocks. Raises: OSError."""
    keys = _walk(root, prefix, after)
    while page := list(islice(keys, PAGE_SIZE)):
        yield page


def _walk(root: str, prefix: str, after: str) -> Iterator[str]:
    for name in _entries(os.path.join(root, prefix)):
        key = prefix + name
        if not name.endswith("/"):
            if key > after:
                yield key
        elif key > after or after.startswith(key):
            yield from _walk(root, key, after)


def _entries(path: str) -> list[str]:
    """The names in a directory, those of directories with a slash behind them: so they sort as their keys do."""
    try:
        with os.scandir(path) as entries:
            return sorted(
                entry.name + "/" if entry.is_dir() else entry.name for entry in entries if is_component(entry.name)
            )
    except FileNotFoundError:
        return []
