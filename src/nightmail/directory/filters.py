"""Whether a text is a search filter (RFC 4515), so that a slip is named when the configuration is read."""

from __future__ import annotations

import re

_ITEM = re.compile(
    r"\((?:[A-Za-z0-9.;-]+|[A-Za-z0-9.;-]*(?::dn)?(?::[A-Za-z0-9.-]+)?:)[~<>]?=(?:[^()\\\0]|\\[0-9A-Fa-f]{2})*\)"
)
_DEEPEST = 20


def check_filter(text: str, name: str) -> None:
    """Raises: ValueError: `text` is no filter; it says so of the setting `name`, and what would be right."""
    if _end_of_filter(text, 0, _DEEPEST) != len(text):
        raise ValueError(f"{name} is no search filter; write it as in (&(mail=*)(!(employeeType=former)))")


def _end_of_filter(text: str, at: int, depth: int) -> int:
    """Where the filter that begins at `at` ends, -1 where there is none."""
    sign = text[at + 1 : at + 2]
    if sign not in ("&", "|", "!") or not text.startswith("(", at):
        found = _ITEM.match(text, at)
        return found.end() if found else -1
    inner, count = at + 2, 0
    while depth and inner >= 0 and text.startswith("(", inner):
        inner = _end_of_filter(text, inner, depth - 1)
        count += 1
    is_whole = inner >= 0 and text.startswith(")", inner)
    return inner + 1 if is_whole and (count == 1 or (count and sign != "!")) else -1
