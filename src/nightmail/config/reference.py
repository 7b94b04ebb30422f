"""The reference of all settings, rendered from the classes that declare them.

`python -m nightmail.config.reference DIRECTORY` writes it. It can't differ from what is read: names, types, limits and
defaults are those of the parser.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from nightmail.config.expecting import Setting, settings_of
from nightmail.config.parsing import CLASSES, HEADERS

FILE = "settings.md"

_INTRODUCTION = """\
# Settings

All settings are in one TOML file, by default `nightmail.toml`. It can serve every server of a cluster: `[server] name`
or `--name` says which one is meant. A relative path is relative to the file. Only `[store] url` and one `[[listener]]`
have to be given, and the server's name unless `[servers]` has just one.

An unknown or wrong setting is refused with its line and what would be right; `nightmail check` says so without
starting anything. This page is generated from the code that reads the file.
"""


def render() -> str:
    """The whole page, in Markdown."""
    return "\n".join((_INTRODUCTION, *(_section(header, cls) for header, cls in _sections())))


def _sections() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    for name, cls in CLASSES.items():
        yield HEADERS[name], cls
        for setting in settings_of(cls).values():
            if setting.table is not None:
                yield f"[{name}.{setting.name}]", setting.table


def write(directory: str) -> str:
    """Write the page into `directory`; return its path."""
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, FILE)
    with open(path, "w", encoding="utf-8") as file:
        file.write(render())
    return path


def _section(header: str, cls: type[msgspec.Struct]) -> str:
    return "\n".join((f"## {header}", "", _purpose(cls), "", *_table(cls), ""))


def _purpose(cls: type[msgspec.Struct]) -> str:
    """The first sentence of the class, without the name of its table that the heading gives."""
    lines = (cls.__doc__ or "").strip().splitlines()
    _, colon, purpose = lines[0].partition("`: ")
    text = purpose if colon else lines[0]
    return text[:1].upper() + text[1:]


def _table(cls: type[msgspec.Struct]) -> Iterator[str]:
    yield "| setting | value | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, setting in settings_of(cls).items():
        cells = (f"`{name}`", _value(setting), _default(setting), setting.description)
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _value(setting: Setting) -> str:
    return setting.expected + (f", in {setting.unit}" if setting.unit else "")


def _default(setting: Setting) -> str:
    if setting.required:
        return "required"
    return f"`{_toml(setting.default)}`" if setting.default not in ("", (), None) else ""


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:g}" if isinstance(value, float) and value < 1e6 else str(value)


def main() -> None:
    """Write the page into the directory given on the command line."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m nightmail.config.reference DIRECTORY")
    write(sys.argv[1])


if __name__ == "__main__":
    main()
