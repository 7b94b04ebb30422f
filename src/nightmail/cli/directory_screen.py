"""`nightmail directory status`: the replicas on one screen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group
from rich.text import Text

from nightmail.cli.screen import columns, plain, show, state, whole
from nightmail.directory.external_standing import ServerStanding
from nightmail.directory.standing import Standing

_CLOCKS_APART_S = 2.0


def show_standings(standings: Sequence[Standing], console: Console) -> None:
    """Print a line for each replica."""
    sites = ["SITE"] if any(each.site for each in standings) else []
    table = columns(
        "REPLICA", *sites, "ROLE", "AT", "STATE", "ENTRIES", "BEHIND", "SIZE", "CLOCK",
        right="ENTRIES BEHIND SIZE CLOCK", shrinking=("ROLE", "AT"),
    )  # fmt: skip
    for each in standings:
        table.add_row(
            plain(each.server),
            *(plain(each.site) for _ in sites),
            _role(each),
            whole(each.uri),
            state(each.outcome),
            "–" if each.entries is None else f"{each.entries:,}",
            _behind(each),
            f"{each.used_bytes / (1 << 20):,.1f} MiB" if each.used_bytes else "–",
            _clock(each.clock_s),
        )
    reasons = [whole(each.state, "bold red") for each in standings if each.state != "ok"]
    warnings = [whole(f"{each.server}: {warning}", "yellow") for each in standings for warning in each.warnings]
    show(console, Group(table, *reasons, *warnings))


def _role(standing: Standing) -> Text:
    if standing.role == "master" or standing.may_take_over is None:
        return Text(standing.role)
    return Text("shadow, in sync") if standing.may_take_over else Text("shadow, not in sync", style="yellow")


def show_servers(standings: Sequence[ServerStanding], console: Console) -> None:
    """Print a line for each server of a directory that is not ours."""
    table = columns("SERVER", "STATE", "CHANGES", "ENTRIES", right="ENTRIES")
    for each in standings:
        entries = "–" if each.entries is None else f"{each.entries:,}"
        table.add_row(plain(each.uri), state(each.outcome), each.changes or "–", entries)
    reasons = [whole(each.state, "bold red") for each in standings if each.state != "ok"]
    show(console, Group(table, *reasons))


def _behind(standing: Standing) -> Text:
    """How far it is behind in what others send it; of a part whose master is away, nobody can tell."""
    sent = [part for part in standing.parts if part.master != standing.server]
    known = [part.behind for part in sent if part.behind is not None]
    if not known:
        return Text("–")
    unknown = "".join(f", {part.site}: –" for part in sent if part.behind is None)
    return plain(f"{sum(known):,}{unknown}", "yellow" if any(known) else "")


def _clock(ahead_s: float | None) -> Text:
    if ahead_s is None:
        return Text("–")
    return Text(f"{round(ahead_s):+d} s", style="bold red" if abs(ahead_s) > _CLOCKS_APART_S else "")
