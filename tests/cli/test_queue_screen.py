"""Lists on terminals of every width."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from rich.console import Console
from tests.cli.rig import FULL, message

from nightmail.cli.queue_screen import show_message, show_messages
from nightmail.net.control_messages import MessageRow, RecipientRow, Shown

NOW = 10_000.0
LONG = "a.recipient.with.a.name.that.does.not.end@subsidiary.of.a.company.example.com"
MESSAGES = (
    message(1, arrival=NOW - 60, next_attempt=NOW + 240),
    message(2, arrival=NOW - 60, sender=LONG, recipients=(RecipientRow(address=LONG, reply=FULL * 5),) * 3),
    message(3, arrival=NOW - 60, state="held", recipients=()),
    message(4, arrival=NOW - 60, state="active", sender="", recipients=(RecipientRow(address="\x1b[2J@example.net"),)),
)


def lines(width: int, messages: Sequence[MessageRow] = MESSAGES) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False)
    show_messages(messages, NOW, console)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 140, 200])
def test_every_list_fits_and_keeps_ids_whole(width: int) -> None:
    shown = lines(width)
    assert all(len(line) <= width for line in shown)
    assert [line.split()[0] for line in shown if line.startswith("ID0")] == ["ID0001", "ID0002", "ID0003", "ID0004"]
    assert "\x1b" not in "".join(shown)


def test_a_narrow_list_has_the_last_reply_below() -> None:
    first, reply, *_ = lines(80)[1:]
    assert first.split() == ["ID0001", "1m", "4.2", "K", "carol@example.net", "→", "bob@example.net", "in", "4m"]
    assert reply.strip() == FULL


def test_a_wide_list_has_a_line_for_each_message() -> None:
    shown = lines(140)
    assert len(shown) == 1 + len(MESSAGES)
    assert "(3) a.recipient" in shown[2]


def test_an_empty_list_says_so() -> None:
    assert lines(80, ()) == ["No messages."]


def test_a_reply_is_shown_whole_where_one_message_is_looked_at() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None, highlight=False)
    show_message(Shown(message=MESSAGES[1]), NOW, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "".join(text.split()).count("Themailboxisfull") == 15
    assert "".join(text.split()).count(LONG) == 4
