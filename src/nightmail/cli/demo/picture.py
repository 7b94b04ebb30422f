"""The scene on a terminal, and the ledger at the end."""

from __future__ import annotations

from collections.abc import Sequence

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from nightmail.cli.demo.ledger import Ledger
from nightmail.cli.demo.scene import Scene, ServerScene
from nightmail.cli.demo.verdict import Verdict
from nightmail.cli.screen import columns, plain, state
from nightmail.cli.words import count

_BARS = " ▁▂▃▄▅▆▇█"
_PANEL_WIDTH = 46
_PANEL_LINES = 4
_HAPPENED_LINES = 7
_BORDERS = {"dead": "red", "serving": "green"}


def draw(scene: Scene) -> RenderableType:
    """The whole scene."""
    return Group(
        Text.assemble((scene.title, "bold"), ("   ", ""), (clock(scene.seconds), "dim")),
        Text(scene.text),
        Text(),
        Columns([_server(each) for each in scene.servers], padding=(0, 1)),
        Text(),
        _streams(scene),
        Text(),
        _happened(scene.happened),
    )


def clock(seconds: float) -> str:
    """`0:07.3`."""
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"


def _server(server: ServerScene) -> RenderableType:
    lines: list[RenderableType] = []
    if server.picture is None:
        lines += _absent(server)
    else:
        table = columns("QUEUE", "", "MESSAGES", right="MESSAGES")
        for queue in server.picture.queues:
            is_own = queue.id.startswith(f"{server.name}.")
            whose = plain("its own", "dim") if is_own else Text("adopted", style="bold yellow")
            table.add_row(plain(queue.id), whose, f"{queue.messages:,}")
        lines.append(table)
    title = Text.assemble(f"{server.name} is ", state(server.word))
    return Panel(
        Group(*lines), title=title, title_align="left", width=_PANEL_WIDTH, height=_PANEL_LINES + 2,
        border_style=_BORDERS.get(server.word, "yellow"),
        subtitle=Text(f"takes {server.accepts[-1]:,.0f} messages/s") if server.picture else None,
        subtitle_align="right",
    )  # fmt: skip


def _absent(server: ServerScene) -> list[RenderableType]:
    if server.word != "dead":
        return [Text("its processes start", style="dim")]
    left = [
        Text(f"{queue} with {count(messages, 'message')} is in the store") for queue, messages in server.left.items()
    ]
    return [Text("no process of it is left", style="dim"), *left]


def _streams(scene: Scene) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(no_wrap=True)
    table.add_column(justify="right")
    table.add_column(justify="right")
    highest = max(*scene.accepted_per_s, *scene.arrived_per_s, 1.0)
    for word, rates, total in (
        ("acknowledged", scene.accepted_per_s, scene.acknowledged),
        ("delivered", scene.arrived_per_s, scene.arrived),
    ):
        table.add_row(word, Text(_bars(rates, highest), style="cyan"), f"{rates[-1]:,.0f}/s", f"{total:,}")
    return table


def _bars(rates: Sequence[float], highest: float) -> str:
    top = len(_BARS) - 1
    return "".join(_BARS[min(top, round(rate / highest * top))] for rate in rates)


def _happened(happened: Sequence[tuple[float, str]]) -> RenderableType:
    lines = [
        Text.assemble((f"{clock(at)}  ", "dim"), text, no_wrap=True, overflow="ellipsis")
        for at, text in happened[-_HAPPENED_LINES:]
    ]
    return Group(*lines, *(Text() for _ in range(_HAPPENED_LINES - len(lines))))


def draw_verdict(verdict: Verdict) -> RenderableType:
    """The audit."""
    ledger = verdict.ledger
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    for word, number, remark in _rows(ledger):
        table.add_row(word, number, remark)
    table.add_row(
        "takeover", f"{verdict.takeover_s:.2f} s", f"from kill -9 to adoption; the lease is {verdict.lease_s:g} s"
    )
    table.add_row(
        "longest pause",
        f"{verdict.pause_s:.2f} s",
        f"that a client saw from the kill on; {verdict.pause_before_s:.2f} s before",
    )
    sound = Text("Nothing was lost.", style="bold green") if verdict.is_sound else Text(verdict.fault, style="bold red")
    return Group(Text("The ledger", style="bold"), Padding(table, (0, 0, 1, 2)), sound)


def _rows(ledger: Ledger) -> list[tuple[Text, Text, str]]:
    def row(word: str, number: int, remark: str = "", *, is_bad: bool = False) -> tuple[Text, Text, str]:
        style = "bold red" if is_bad else ""
        return Text(word, style=style), Text(f"{number:,}", style=style), remark

    unrecorded = ledger.duplicated - ledger.ambiguous
    return [
        row("acknowledged", ledger.acknowledged, "250 was answered: from then on the message is ours"),
        row("delivered", ledger.delivered),
        row("queued", ledger.queued),
        row("lost", ledger.lost, "acknowledged, and neither delivered nor queued", is_bad=ledger.lost > 0),
        row("duplicated", ledger.duplicated, "under way when their server died (RFC 1047)"),
        row("of which ambiguous", ledger.ambiguous, "recorded as perhaps delivered before", is_bad=unrecorded > 0),
        row("unanswered", ledger.unanswered, "no answer reached the client, which sends again"),
    ]
