"""The replicas on one screen: a line each, and below them what is wrong or will be."""

from __future__ import annotations

import msgspec
import pytest
from rich.console import Console

from nightmail.cli.directory_screen import show_servers, show_standings
from nightmail.cli.screen import screen
from nightmail.directory.external_standing import ServerStanding
from nightmail.directory.standing import PartStanding, Standing

URI = "ldap://directory-replica.mail-north-1.example.org:13890"
FAR = "ldap://[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:13890"


def test_what_will_go_wrong_stands_below_the_table_with_its_server(capsys: pytest.CaptureFixture[str]) -> None:
    well = Standing(server="mx1", role="master", uri="ldap://192.0.2.1", entries=12, behind=0, clock_s=0.0)
    ahead = Standing(
        server="mx2", role="shadow", uri="ldap://192.0.2.2", entries=11, behind=1, clock_s=18000.0,
        warnings=("its clock is +18,000 s off: set it right",),
    )  # fmt: skip
    show_standings([well, ahead], screen())
    *table, last = capsys.readouterr().out.splitlines()
    assert len(table) == 3
    assert "+5h" in table[2]
    assert last == "mx2: its clock is +18,000 s off: set it right"


def test_why_a_replica_does_not_answer_stands_below_the_table_with_its_server(
    capsys: pytest.CaptureFixture[str],
) -> None:
    away = Standing(server="mx2", role="shadow", uri=URI, state=f"{URI}: no answer", outcome="unreachable")
    show_standings([away], screen())
    assert capsys.readouterr().out.splitlines()[-1] == f"mx2: {URI}: no answer"


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
        ("mx2", (dr(None), main(2)), "2 + ?"),
        ("mx2", (dr(None), main(None)), "–"),
    ],
)
def test_each_site_is_seen_and_how_far_a_replica_is_behind_in_what_others_send_it(
    server: str, parts: tuple[PartStanding, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    role = "master of main" if server == "mx1" else "shadow"
    seen = Standing(server=server, role=role, uri="ldap://192.0.2.2", site="main", entries=9, parts=parts, clock_s=0.0)
    show_standings([seen], screen())
    titles, row, *below = capsys.readouterr().out.splitlines()
    assert titles.split()[:3] == ["REPLICA", "SITE", "ROLE"]
    assert [each.strip() for each in row.split("  ") if each] == [
        server, "main", "master" if server == "mx1" else "shadow", "ok", "9", told, "–", "+0s",
    ]  # fmt: skip
    unknown = [part for part in parts if part.behind is None and part.master != server]
    assert below == [
        f"what replicas lack of the part of {part.site} can't be told while its master, {part.master}, does not answer"
        for part in unknown
    ]


def test_who_takes_the_writes_of_another_site_than_its_own_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    both = Standing(server="mx3", role="master of dr and main", site="dr", uri=URI)
    own = Standing(server="mx1", role="master of main", site="main", uri=URI)
    show_standings([both, own], screen())
    assert capsys.readouterr().out.splitlines()[3:] == ["mx3: master of dr and main"]


WELL = Standing(
    server="mail-north-1", role="master", uri=URI, entries=123_456, behind=123_456, used_bytes=16 << 30, clock_s=-0.3,
    parts=(PartStanding(site="", master="mail-north-1", entries=123_456),),
)  # fmt: skip
SHADOW = msgspec.structs.replace(
    WELL, server="mail-south-2", role="shadow", uri=FAR, clock_s=-1e9, warnings=("its clock is off: set it " * 4,),
    parts=(PartStanding(site="", master="mail-north-1", entries=123_456, behind=123_456),),
)  # fmt: skip
AWAY = Standing(
    server="mail-south-2", role="shadow", uri=FAR, outcome="unreachable", state=f"{FAR}: Can't contact LDAP server"
)
DIFFERS = msgspec.structs.replace(
    AWAY, outcome="another secret", state=f"{FAR}: its secret differs from the one in /etc/nightmail/directory.key here"
)
IN_SYNC, APART = ({"may_take_over": is_in_sync} for is_in_sync in (True, False))
OF_SITES = (
    PartStanding(site="north", master="mail-north-1", entries=60_000, behind=23_456),
    PartStanding(site="south", master="mail-south-1", entries=63_456),
)
NORTH = {"site": "north", "role": "master of north", "parts": OF_SITES}
SOUTH = {"site": "south", "parts": OF_SITES}
SEVERAL = {"site": "south", "role": "master of north and south", "parts": OF_SITES}
STATES = {
    "single-master": [WELL, SHADOW],
    "single-master, shadow away": [WELL, AWAY],
    "single-master, another secret": [WELL, DIFFERS],
    "failover": [WELL, msgspec.structs.replace(SHADOW, **IN_SYNC)],
    "failover, not in sync": [WELL, msgspec.structs.replace(SHADOW, **APART)],
    "failover, away in sync": [WELL, msgspec.structs.replace(AWAY, **IN_SYNC)],
    "failover, away": [WELL, msgspec.structs.replace(AWAY, **APART)],
    "failover, another secret": [WELL, msgspec.structs.replace(DIFFERS, **IN_SYNC), SHADOW],
    "multi-site": [msgspec.structs.replace(WELL, **NORTH), msgspec.structs.replace(SHADOW, **SOUTH)],
    "multi-site, two parts": [msgspec.structs.replace(WELL, **SEVERAL), msgspec.structs.replace(SHADOW, **SOUTH)],
    "multi-site, away": [msgspec.structs.replace(WELL, **NORTH), msgspec.structs.replace(AWAY, **SOUTH)],
    "multi-site, another secret": [msgspec.structs.replace(WELL, **NORTH), msgspec.structs.replace(DIFFERS, **SOUTH)],
}
EIGHTY = 80


def rows(text: str) -> list[str]:
    """The lines of a screen that has eighty columns and shows everything."""
    lines = text.splitlines()
    assert max(map(len, lines)) <= EIGHTY
    assert "…" not in text
    return lines


@pytest.mark.parametrize("standings", STATES.values(), ids=STATES)
def test_each_replica_is_a_row_of_eighty_columns_whatever_the_state(
    standings: list[Standing], capsys: pytest.CaptureFixture[str]
) -> None:
    show_standings(standings, screen())
    table = capsys.readouterr().out.splitlines()[: 1 + len(standings)]
    assert max(map(len, table)) <= EIGHTY, "in a pipe, which has no width, too"
    show_standings(standings, Console(force_terminal=True, width=EIGHTY, color_system=None, _environ={}))
    shown = rows(capsys.readouterr().out)
    assert [line.rstrip() for line in shown[: len(table)]] == table
    below = " ".join("".join(line.ljust(EIGHTY) for line in shown[len(table) :]).split())
    assert all(each.uri.removeprefix("ldap://")[:20] in below for each in standings if each.outcome != "ok")


@pytest.mark.parametrize("standings", STATES.values(), ids=STATES)
def test_the_longest_names_take_more_lines_and_not_more_columns(
    standings: list[Standing], capsys: pytest.CaptureFixture[str]
) -> None:
    longest = [msgspec.structs.replace(each, server=each.server * 5, site=each.site * 12) for each in standings]
    show_standings(longest, Console(force_terminal=True, width=EIGHTY, color_system=None, _environ={}))
    rows(capsys.readouterr().out)


def test_the_servers_of_another_directory_take_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    well = ServerStanding(uri="ldaps://domain-controller-1.corp.example.com:3269", changes="polled", entries=123_456)
    nobody = ServerStanding(uri=FAR, outcome="shows nobody", state=f"{FAR}: nobody is shown")
    show_servers([well, nobody], Console(force_terminal=True, width=EIGHTY, color_system=None, _environ={}))
    assert "shows nobody" in " ".join(rows(capsys.readouterr().out)[2:])
