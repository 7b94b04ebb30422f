"""`nightmail queue list` and `show`: queued messages for whoever has to decide what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from nightmail.cli.screen import columns, plain, state
from nightmail.cli.words import short_span, size, span
from nightmail.net.control_messages import MessageRow, RecipientRow, Shown

_WIDE = 120


def show_messages(messages: Sequence[MessageRow], now: float, console: Console) -> None:
    """Print a list: in columns where there is room for the last reply, else with the reply below each message."""
    if not messages:
        console.print("No messages.", style="dim")
        return
    console.print(_wide(messages, now) if console.width >= _WIDE else _narrow(messages, now, console.width))


def _wide(messages: Sequence[MessageRow], now: float) -> Table:
    table = columns("ID", "AGE", "SIZE", "FROM", "TO", "STATE", "NEXT", "LAST REPLY", right="AGE SIZE NEXT")
    for name, ratio in (("FROM", 3), ("TO", 3), ("LAST REPLY", 5)):
        column = next(column for column in table.columns if column.header == name)
        column.ratio, column.overflow = ratio, "ellipsis"
    for message in messages:
        table.add_row(
            plain(message.id, "bold"),
            short_span(now - message.arrival),
            size(message.size_bytes),
            plain(_sender(message)),
            _recipients(message),
            state(message.state),
            _next(message, now),
            plain(_reply(message), "dim"),
        )
    return table


def _narrow(messages: Sequence[MessageRow], now: float, width: int) -> Table:
    table = columns("ID", "AGE", "SIZE", "FROM · TO · LAST REPLY", "NEXT", right="AGE SIZE NEXT")
    table.columns[3].overflow = "ellipsis"
    table.columns[3].ratio = 1
    table.width = width
    for message in messages:
        reply = _reply(message)
        lines = [plain(_sender(message)), Text("→ ", "dim") + _recipients(message)]
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
        return plain("–", "dim")
    first, others = message.recipients[0].address, len(message.recipients) - 1
    return plain(first) + Text(f" +{others:,}", "bold") if others else plain(first)


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
    parts = [facts, _recipient_table(message.recipients)]
    if shown.settled:
        parts.append(_recipient_table(shown.settled, "DONE WITH"))
    console.print(Group(*(Padding(part, (0, 0, 1, 0), expand=False) for part in parts)))
    for line in shown.headers.splitlines():
        console.print(plain(line, "dim") if line[:1].isspace() else plain(line), soft_wrap=True)


def _facts(shown: Shown, now: float) -> list[tuple[str, Text]]:
    message = shown.message
    facts = [
        ("Message", plain(message.id)),
        ("Queue", plain(message.queue)),
        ("From", plain(_sender(message))),
        ("Size", plain(f"{size(message.size_bytes)} ({message.size_bytes:,} bytes)")),
        ("Arrived", plain(f"{span(now - message.arrival)} ago" + (f" from {shown.client}" if shown.client else ""))),
        ("State", state(message.state)),
        ("Attempts", plain(f"{message.attempts:,}")),
    ]
    if message.state == "waiting":
        due_s = message.next_attempt - now
        facts.append(("Next attempt", plain(f"in {span(due_s)}" if due_s > 0 else "due")))
    facts += [(name, plain(value)) for name, value in (("ENVID", shown.envid), ("RET", shown.ret)) if value]
    return facts


def _recipient_table(recipients: Sequence[RecipientRow], title: str = "TO") -> Table:
    table = columns(title, "STATE", "LAST REPLY")
    table.columns[2].no_wrap, table.columns[2].overflow = False, "fold"
    for each in recipients:
        reply = plain(each.reply)
        reply.no_wrap, reply.overflow = False, "fold"
        table.add_row(plain(each.address), state(each.state), reply)
    return table
