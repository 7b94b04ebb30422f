"""The terminal: how wide it is, whether it has colours, and how a command's facts get there."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from nightmail.mail.headers import printable

_UNBOUNDED = 10_000
_SHADES = {
    "ok": "green",
    "serving": "green",
    "running": "green",
    "active": "green",
    "delivered": "green",
    "draining": "yellow",
    "starting": "yellow",
    "stopping": "yellow",
    "held": "yellow",
    "waiting": "",
    "unknown": "dim",
    "silent": "bold red",
    "restarting": "bold red",
    "stopped": "bold red",
}


def screen() -> Console:
    """Standard output. A pipe has no width at which lines would have to be cut, and no colours."""
    console = Console(highlight=False, soft_wrap=False, emoji=False, markup=False)
    return console if console.is_terminal else Console(width=_UNBOUNDED, highlight=False, emoji=False, markup=False)


def print_json(facts: object) -> None:
    """The facts as JSON: indented for eyes, on one line for programs."""
    data = msgspec.json.encode(facts)
    if sys.stdout.isatty():
        data = msgspec.json.format(data, indent=2)
    sys.stdout.write(data.decode() + "\n")


def show(console: Console, what: RenderableType) -> None:
    """Print it, without the spaces that tables leave at the ends of lines where programs may read them."""
    if console.is_terminal:
        console.print(what)
        return
    with console.capture() as capture:
        console.print(what)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def columns(*names: str, right: str = "", shrinking: Sequence[str] = ()) -> Table:
    """A table without lines; columns named in `right` are aligned there, those in `shrinking` give way."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in names:
        justify: JustifyMethod = "right" if name in right.split() else "left"
        table.add_column(name, justify=justify, no_wrap=name not in shrinking, overflow="ellipsis")
    return table


def plain(text: str, style: str = "") -> Text:
    """Text that came from elsewhere: nothing in it is taken for markup or moves the cursor."""
    return Text(printable(text), style=style, overflow="ellipsis", no_wrap=True)


def whole(text: str, style: str = "") -> Text:
    """Text that came from elsewhere, on as many lines as it takes."""
    return Text(printable(text), style=style, overflow="fold")


def state(word: str) -> Text:
    """A state in its colour; one that is no state but a reason is a fault."""
    return plain(word, _SHADES.get(word, "bold red"))
