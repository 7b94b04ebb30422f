"""The figures as tables for the terminal, and the same tables as Markdown for the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table


class Figures(NamedTuple):
    """One table: its title, its head, its rows."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


class Goal(NamedTuple):
    """What was to be reached, what was, and whether that is enough."""

    wish: str
    reached: str
    is_met: bool


def show(console: Console, tables: Iterable[Figures], goals: Iterable[Goal]) -> None:
    """Print tables and goals for a person."""
    for figures in tables:
        table = Table(title=figures.title, title_justify="left")
        for number, name in enumerate(figures.head):
            table.add_column(name, justify="right" if number else "left")
        for row in figures.rows:
            table.add_row(*row)
        console.print(table)
    for goal in goals:
        console.print(f"{'[green]met[/]   ' if goal.is_met else '[red]missed[/]'} {goal.wish}: {goal.reached}")


def markdown(about: Iterable[tuple[str, str]], tables: Iterable[Figures], goals: Iterable[Goal]) -> str:
    """The same as Markdown."""
    parts = ["\n".join(f"- {label}: {text}" for label, text in about)]
    for figures in tables:
        rule = ["---", *["---:"] * (len(figures.head) - 1)]
        lines = ["| " + " | ".join(row) + " |" for row in (figures.head, rule, *figures.rows)]
        parts.append(f"**{figures.title}**\n\n" + "\n".join(lines))
    if told := [f"- {goal.wish}: {goal.reached}, {'met' if goal.is_met else 'missed'}" for goal in goals]:
        parts.append("\n".join(told))
    return "\n\n".join(parts) + "\n"


def rate(per_s: float) -> str:
    """Messages per second, without false precision."""
    return f"{per_s:,.0f}"


def mib(size_bytes: float) -> str:
    """Mebibytes."""
    return f"{size_bytes / 2**20:,.0f} MiB"
