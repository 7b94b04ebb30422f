"""One server on one screen: where each site has its part of the directory, each is named."""

from __future__ import annotations

import pytest

from nightmail.admin.answers import DirectoryPicture, PartPicture, ServerPicture
from nightmail.cli.screen import screen
from nightmail.cli.status_screen import show_status

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
    assert row == ["o=x", "master of main", "running", "812", "12", "0"]
    assert parts == [
        ["PART", "MASTER", "FOLLOWED AT", "IN-FORCE"],
        ["dr", "mx3", "nowhere: the last copy is in force", "5"],
        ["main", "mx1", "ldap://192.0.2.1", "7"],
    ]


def test_a_part_of_which_nothing_was_ever_seen_keeps_mail_away(capsys: pytest.CaptureFixture[str]) -> None:
    unknown = PartPicture(site="dr", base="nmSite=dr,o=x", master="mx3")
    *_, last = told(capsys, "shadow", MAIN, unknown)
    assert last == ["dr", "mx3", "nowhere, nor was it ever: no mail is taken", "0"]
