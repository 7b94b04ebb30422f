"""One server on one screen: what is wrong with it stands out."""

from __future__ import annotations

import pytest
from rich.console import Console

from nightmail.admin.answers import DirectoryPicture, ServerPicture
from nightmail.cli.status_screen import show_status

FIRST, SECOND = "ldap://192.0.2.1", "ldap://192.0.2.2"
AWAY = f"{SECOND}: no answer"
RED, YELLOW = "\x1b[1;31m", "\x1b[33m"


def shown(asked: dict[str, str]) -> str:
    """What a terminal is sent."""
    directory = DirectoryPicture(suffix="dc=x", role="external", followed="tables", asked=asked)
    picture = ServerPicture(server="mx1", state="serving", version="1", uptime_s=1.0, directory=directory)
    console = Console(force_terminal=True, width=200, color_system="standard", _environ={})
    with console.capture() as capture:
        show_status(picture, console)
    return capture.get()


@pytest.mark.parametrize(
    ("asked", "count", "style"),
    [
        ({FIRST: "ok", SECOND: "ok"}, "2 of 2", ""),
        ({FIRST: "ok", SECOND: AWAY}, "1 of 2", YELLOW),
        ({SECOND: AWAY}, "0 of 1", RED),
    ],
)
def test_where_addresses_can_not_be_looked_up_is_said_in_a_colour(
    asked: dict[str, str], count: str, style: str
) -> None:
    text = shown(asked)
    assert f"{style}{count}" in text
    line = f"{style}Addresses can't be looked up at {AWAY}"
    assert (line in text) == bool(style)
    assert text.count("can't be looked up") == bool(style)


def test_a_switch_that_was_not_asked_yet_says_nothing() -> None:
    assert "can't be looked up" not in shown({})
