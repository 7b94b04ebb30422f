"""The replicas on one screen: a line each, and below them what is wrong or will be."""

from __future__ import annotations

import pytest
from rich.console import Console

from nightmail.cli.directory_screen import show_standings
from nightmail.cli.screen import screen
from nightmail.directory.standing import PartStanding, Standing


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


def test_nothing_is_cut_off_on_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    uri = "ldap://192.0.2.1:1389"
    seen = Standing(server="mx1", site="main", role="master of main", uri=uri, entries=17, clock_s=-0.3)
    show_standings([seen], Console(force_terminal=True, width=80, color_system=None, _environ={}))
    text = capsys.readouterr().out
    assert "…" not in text
    titles, *rows = text.splitlines()
    place = slice(titles.index("AT"), titles.index("STATE"))
    assert "".join(row[place].strip() for row in rows) == uri
    assert "+0 s" in text


def main(behind: int | None) -> PartStanding:
    return PartStanding(site="main", master="mx1", entries=4, behind=behind)


def dr(behind: int | None) -> PartStanding:
    return PartStanding(site="dr", master="mx3", entries=5, behind=behind)


@pytest.mark.parametrize(
    ("server", "parts", "told"),
    [
        ("mx1", (dr(3), main(0)), "3"),
        ("mx2", (dr(3), main(2)), "5"),
        ("mx1", (dr(None), main(0)), "–"),
        ("mx2", (dr(None), main(2)), "2, dr: –"),
        ("mx2", (dr(None), main(None)), "–"),
    ],
)
def test_each_site_is_seen_and_how_far_a_replica_is_behind_in_what_others_send_it(
    server: str, parts: tuple[PartStanding, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    role = "master of main" if server == "mx1" else "shadow"
    seen = Standing(server=server, role=role, uri="ldap://192.0.2.2", site="main", entries=9, parts=parts, clock_s=0.0)
    show_standings([seen], screen())
    titles, row = capsys.readouterr().out.splitlines()
    assert titles.split()[:3] == ["REPLICA", "SITE", "ROLE"]
    assert [each.strip() for each in row.split("  ") if each] == [
        server, "main", role, "ldap://192.0.2.2", "ok", "9", told, "–", "+0 s",
    ]  # fmt: skip
