"""Distinguished names and search filters, with what a user gave escaped in them."""

from __future__ import annotations

import re

_SPECIAL_IN_NAMES = re.compile(r'^[ #]|[,+"\\<>;=]| \Z')
_SPECIAL_IN_FILTERS = re.compile("[*()\\\\\0]")


def escape_name(value: str) -> str:
    """A value as it stands in a distinguished name (RFC 4514 §2.4)."""
    return _SPECIAL_IN_NAMES.sub(r"\\\g<0>", value).replace("\0", "\\00")


def escape_filter(value: str) -> str:
    """A value as it stands in a search filter (RFC 4515 §3)."""
    return _SPECIAL_IN_FILTERS.sub(lambda found: f"\\{ord(found[0]):02x}", value)


def equals(attribute: str, value: str) -> str:
    """The filter for entries with an attribute of this very value."""
    return f"({attribute}={escape_filter(value)})"


def any_of(*filters: str) -> str:
    """The filter for entries that one of these matches."""
    return f"(|{''.join(filters)})"


def all_of(*filters: str) -> str:
    """The filter for entries that each of these matches."""
    return f"(&{''.join(filters)})"


def of_classes(*names: str) -> str:
    """The filter for entries of one of these classes."""
    return any_of(*(equals("objectClass", name) for name in names))


def with_one_of(*attributes: str) -> str:
    """The filter for entries that have one of these attributes, whatever its value."""
    return any_of(*(f"({attribute}=*)" for attribute in attributes))
