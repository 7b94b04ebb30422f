"""What a key may look like: path components that mean the same in every store."""

from __future__ import annotations

import re

_KEY = re.compile(r"(?:[0-9A-Za-z_-][0-9A-Za-z._-]{0,254}/)*[0-9A-Za-z_-][0-9A-Za-z._-]{0,254}")
_PREFIX = re.compile(r"(?:[0-9A-Za-z_-][0-9A-Za-z._-]{0,254}/)*")


def split_key(key: str) -> tuple[str, str]:
    """The directory of a key (empty at the top) and its name there.

    No component is empty or begins with a dot, so that no key leaves the store or names one of its temporaries.
    Raises: ValueError.
    """
    if _KEY.fullmatch(key) is None:
        raise ValueError(f"not a key of a store: {key!r}")
    directory, _, name = key.rpartition("/")
    return directory, name


def split_prefix(prefix: str) -> str:
    """The directory that a prefix stands for. Raises: ValueError."""
    if _PREFIX.fullmatch(prefix) is None:
        raise ValueError(f"not a prefix of keys: {prefix!r}")
    return prefix[:-1]


def is_component(name: str) -> bool:
    """Whether a name found in a directory can be part of a key."""
    return "/" not in name and _KEY.fullmatch(name) is not None
