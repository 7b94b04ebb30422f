"""`nightmail queue list` and `show`: queued messages for whoever has to decide what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from nightmail.cli.screen import columns, plain, show, state, whole
from nightmail.cli.words import short_span, size, span
from nightmail.mail.headers import printable
from nightmail.net.control_messages import MessageRow, RecipientRow, Shown

_WIDE = 120
# What ID, AGE, SIZE, NEXT and the gaps between columns take of a narrow screen.
_NARROW_OTHERS = 42
_ARROW, _ARROW_BELOW = (" → ", "dim"), ("→ ", "dim")


def show_messages(messages: Sequence[MessageRow], now: float, console: Console) -> None:
    """Print a list: in columns where there is room for the last reply, else with the reply below each message."""
    if not messages:
        console.print("No messages.", style="dim")
        return
    show(console, _wide(messages, now) if console.width >= _WIDE else _narrow(messages, now, console.width))


def _wide(messages: Sequence[MessageRow], now: float) -> Table:
    table = columns(
        "ID", "AGE", "SIZE", "STATE", "NEXT", "FROM", "TO", "LAST REPLY",
        right="AGE SIZE NEXT", shrinking=("FROM", "TO", "LAST REPLY"),
    )  # fmt: skip
    for message in messages:
        table.add_row(
            plain(message.id, "bold"),
            short_span(now - message.arrival),
            size(message.size_bytes),
            state(message.state),
            _next(message, now),
            plain(_sender(message)),
            _recipients(message),
            plain(_reply(message), "dim"),
        )
    return table


def _narrow(messages: Sequence[MessageRow], now: float, width: int) -> Table:
    what = "FROM → TO"
    table = columns("ID", "AGE", "SIZE", what, "NEXT", right="AGE SIZE NEXT", shrinking=(what,))
    for message in messages:
        sender, recipients, reply = plain(_sender(message)), _recipients(message), _reply(message)
        way = Text.assemble(sender, _ARROW, recipients, no_wrap=True, overflow="ellipsis")
        fits = way.cell_len <= width - _NARROW_OTHERS
        lines = [way] if fits else [sender, Text.assemble(_ARROW_BELOW, recipients, no_wrap=True, overflow="ellipsis")]
        lines += [plain(reply, "dim")] if reply else []
        table.add_row(
            plain(message.id, "bold"),
            short_span(now - message.arrival),
            size(message.size_bytes),
            Group(*lines),
            state("held") if message.state == "held" else _next(message, now),
        )
    return table


def _sender(message: MessageRow) -> str:
    return message.sender or "<>"


def _recipients(message: MessageRow) -> Text:
    if not message.recipients:
        return Text("–", "dim")
    number = len(message.recipients)
    # The number goes first: the end of a long address is what a narrow column cuts off.
    how_many = f"({number:,}) " if number > 1 else ""
    return Text.assemble((how_many, "bold"), plain(message.recipients[0].address), no_wrap=True, overflow="ellipsis")


def _reply(message: MessageRow) -> str:
    return next((recipient.reply for recipient in message.recipients if recipient.reply), "")


def _next(message: MessageRow, now: float) -> Text:
    if message.state == "held":
        return Text("–", "dim")
    if message.state == "active":
        return Text("now", "green")
    due_s = message.next_attempt - now
    return Text(f"in {short_span(due_s)}" if due_s > 0 else "due", "" if due_s > 0 else "green")


def show_message(shown: Shown, now: float, console: Console) -> None:
    """Print everything about one message."""
    message = shown.message
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for name, value in _facts(shown, now):
        facts.add_row(name, value)
    parts: list[RenderableType] = [facts, Text(), *_recipient_lines("TO", message.recipients)]
    if shown.settled:
        parts += [Text(), *_recipient_lines("DONE WITH", shown.settled)]
    if shown.headers:
        parts += [Text(), Text("\n").join(map(_header_line, shown.headers.splitlines()))]
    show(console, Group(*parts))


def _header_line(line: str) -> Text:
    is_continued = line[:1].isspace()
    name, colon, value = ("    ", "", line) if is_continued else line.partition(":")
    return Text.assemble((printable(name) if colon else name, "bold"), colon, " " * bool(colon), whole(value))


def _facts(shown: Shown, now: float) -> list[tuple[str, Text]]:
    message = shown.message
    facts = [
        ("Message", whole(message.id)),
        ("Queue", whole(message.queue)),
        ("From", whole(_sender(message))),
        ("Size", whole(f"{message.size_bytes:,} bytes")),
        ("Arrived", whole(f"{span(now - message.arrival)} ago" + (f" from {shown.client}" if shown.client else ""))),
        ("State", state(message.state)),
        ("Attempts", whole(f"{message.attempts:,}")),
    ]
    if message.state == "waiting":
        due_s = message.next_attempt - now
        facts.append(("Next attempt", whole(f"in {span(due_s)}" if due_s > 0 else "due")))
    facts += [(name, whole(value)) for name, value in (("ENVID", shown.envid), ("RET", shown.ret)) if value]
    return facts


def _recipient_lines(title: str, recipients: Sequence[RecipientRow]) -> list[RenderableType]:
    lines: list[RenderableType] = [Text(title, "bold")]
    for each in recipients:
        lines.append(Text.assemble("  ", whole(each.address), "  ", state(each.state)))
        if each.reply:
            lines.append(Padding(whole(each.reply, "dim"), (0, 0, 0, 4), expand=False))
    return lines
