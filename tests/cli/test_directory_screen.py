"""The replicas on one screen: a line each, and below them what is wrong or will be."""

from __future__ import annotations

import pytest

from nightmail.cli.directory_screen import show_standings
from nightmail.cli.screen import screen
from nightmail.directory.standing import Standing


def test_what_will_go_wrong_stands_below_the_table_with_its_server(capsys: pytest.CaptureFixture[str]) -> None:
    well = Standing(server="mx1", role="master", uri="ldap://192.0.2.1", entries=12, behind=0, clock_s=0.0)
    ahead = Standing(
        server="mx2", role="shadow", uri="ldap://192.0.2.2", entries=11, behind=1, clock_s=18000.0,
        warnings=("its clock is +18,000 s off: set it right",),
    )  # fmt: skip
    show_standings([well, ahead], screen())
    *table, last = capsys.readouterr().out.splitlines()
    assert len(table) == 3
    assert "+18000 s" in table[2]
    assert last == "mx2: its clock is +18,000 s off: set it right"
