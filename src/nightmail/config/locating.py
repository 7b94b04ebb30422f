"""Where a setting stands in the text of a TOML file, so that a fault can name its line.

The standard parser keeps no positions. This reader knows just enough TOML to find headers and keys that begin a line;
what it doesn't find is placed at the nearest thing around it that it did find.
"""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_LONG_QUOTES = ('"' * 3, "'" * 3)


class Lines:
    """The line of every header and key of one TOML text, counted from 1."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        self._array_sizes: dict[Path, int] = {}
        table: Path = ()
        quotes = ""
        for number, line in enumerate(text.split("\n"), start=1):
            if not quotes:
                table = self._read(line, number, table)
            quotes = _open_quotes(line, quotes)

    def line(self, path: Path) -> int:
        """The line of the setting at `path`, or of the nearest table around it; 0 where nothing was found."""
        while path and path not in self._lines and (*path, 0) not in self._lines:
            path = path[:-1]
        return self._lines.get(path) or self._lines.get((*path, 0), 0)

    def _read(self, line: str, number: int, table: Path) -> Path:
        """Note what stands on the line; return the table that the lines after it belong to."""
        header = _HEADER.fullmatch(line)
        if header:
            table = self._open(header[1] == "[[", _parts(header[2]))
            self._lines.setdefault(table, number)
            return table
        key = _KEY.match(line)
        if key:
            parts = _parts(key[1])
            for size in range(1, len(parts) + 1):
                self._lines.setdefault(table + parts[:size], number)
        return table

    def _open(self, is_array: bool, parts: Path) -> Path:
        if not is_array:
            return parts
        index = self._array_sizes.get(parts, 0)
        self._array_sizes[parts] = index + 1
        return (*parts, index)


def _parts(dotted: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _open_quotes(line: str, quotes: str) -> str:
    """The long quotes that are still open at the end of the line, or none."""
    for mark in (quotes,) if quotes else _LONG_QUOTES:
        if line.count(mark) % 2:
            return "" if quotes else mark
    return quotes
