"""One server on one screen: what is wrong with it stands out, and each site's part of the directory is named."""

from __future__ import annotations

import pytest
from rich.console import Console

from nightmail.admin.answers import DirectoryPicture, PartPicture, ServerPicture
from nightmail.cli.screen import screen
from nightmail.cli.status_screen import show_status
from nightmail.directory.parts import Part
from nightmail.directory.told_masters import SAYS, contradiction, root_entry, told_in

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


def test_masters_that_contradict_each_other_are_named_as_what_they_are() -> None:
    part = Part("nmSite=dr,dc=x", "dr")
    wrong = contradiction({part: "mx3"}, told_in(root_entry({part: "mx4"}).attributes[SAYS]))
    text = shown({FIRST: "ok", SECOND: f"{SECOND}: {wrong}"})
    assert f"{YELLOW}Masters contradict each other at {SECOND}: its server's file names mx4 as the master" in text
    assert "can't be looked up" not in text, "whom it has is taken"


def test_a_switch_that_was_not_asked_yet_says_nothing() -> None:
    assert "can't be looked up" not in shown({})


@pytest.mark.parametrize(
    ("is_known", "words"),
    [(True, "nowhere: the last copy is in force"), (False, "nowhere, nor was it ever: no mail is taken")],
)
def test_a_directory_that_is_followed_nowhere_has_a_last_copy_or_never_had_anything(
    is_known: bool, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = DirectoryPicture(suffix="dc=x", role="shadow", is_known=is_known)
    show_status(ServerPicture(server="mx1", state="starting", version="1", uptime_s=1, directory=directory), screen())
    assert capsys.readouterr().out.splitlines()[-1] == f"Followed {words}"


def test_nothing_of_the_directory_is_cut_off_on_eighty_columns() -> None:
    directory = DirectoryPicture(
        suffix="dc=example,dc=org", role="shadow", state="running", pid=4_194_304, master="mx1",
        entries=1_200, refused=1, followed=FIRST + ":1389", asked={FIRST: "ok", SECOND: "ok"},
    )  # fmt: skip
    console = Console(force_terminal=True, width=80, color_system=None, _environ={})
    with console.capture() as capture:
        show_status(ServerPicture(server="mx1", state="serving", version="1", uptime_s=1, directory=directory), console)
    text = capture.get()
    assert "…" not in text
    *_, row, followed = (line.rstrip() for line in text.splitlines())
    assert row.split("  ")[-1] == "2 of 2"
    assert followed == f"Followed at {FIRST}:1389"


MAIN = PartPicture(
    site="main", base="nmSite=main,o=x", master="mx1", followed="ldap://192.0.2.1", entries=7, is_known=True
)
DR = PartPicture(site="dr", base="nmSite=dr,o=x", master="mx3", entries=5, is_known=True)


def told(capsys: pytest.CaptureFixture[str], role: str, *parts: PartPicture) -> list[list[str]]:
    """The last lines of what is shown, cell by cell."""
    directory = DirectoryPicture(suffix="o=x", role=role, state="running", pid=812, entries=12, parts=parts)
    show_status(ServerPicture(server="mx1", state="serving", version="1", uptime_s=1, directory=directory), screen())
    lines = capsys.readouterr().out.splitlines()
    return [[cell.strip() for cell in line.split("  ") if cell] for line in lines[-6:]]


def test_each_sites_part_is_seen_with_its_master_and_where_it_is_followed(capsys: pytest.CaptureFixture[str]) -> None:
    _, row, _, *parts = told(capsys, "master", DR, MAIN)
    assert row == ["o=x", "master of main", "running", "812", "12", "0", "–"]
    assert parts == [
        ["PART", "MASTER", "FOLLOWED AT", "IN-FORCE"],
        ["dr", "mx3", "nowhere: the last copy is in force", "5"],
        ["main", "mx1", "ldap://192.0.2.1", "7"],
    ]


def test_a_part_of_which_nothing_was_ever_seen_keeps_mail_away(capsys: pytest.CaptureFixture[str]) -> None:
    unknown = PartPicture(site="dr", base="nmSite=dr,o=x", master="mx3")
    *_, last = told(capsys, "shadow", MAIN, unknown)
    assert last == ["dr", "mx3", "nowhere, nor was it ever: no mail is taken", "0"]
