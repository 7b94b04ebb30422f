"""`nightmail directory status`: the replicas on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, Group
from rich.text import Text

from nightmail.cli.screen import columns, plain, show, state, whole
from nightmail.cli.words import short_span, size
from nightmail.directory.external_standing import ServerStanding
from nightmail.directory.standing import PartStanding, Standing

_CLOCKS_APART_S = 2.0


def show_standings(standings: Sequence[Standing], console: Console) -> None:
    """Print a line for each replica, and below them what is wrong or will be.

    What does not fit into eighty columns, such as an address or why one does not answer, is said below.
    """
    sites = ["SITE"] if any(each.site for each in standings) else []
    table = columns(
        "REPLICA", *sites, "ROLE", "STATE", "ENTRIES", "BEHIND", "SIZE", "CLOCK",
        right="ENTRIES BEHIND SIZE CLOCK", shrinking=("REPLICA", "SITE"),
    )  # fmt: skip
    for each in standings:
        table.add_row(
            whole(each.server),
            *(whole(each.site) for _ in sites),
            _role(each),
            state(each.outcome),
            "–" if each.entries is None else f"{each.entries:,}",
            _behind(each),
            size(each.used_bytes) if each.used_bytes else "–",
            _clock(each.clock_s),
        )
    reasons = [whole(f"{each.server}: {each.state}", "bold red") for each in standings if each.state != "ok"]
    warnings = [whole(f"{each.server}: {warning}", "yellow") for each in standings for warning in each.warnings]
    show(console, Group(table, *_explained(standings), *reasons, *warnings))


def _role(standing: Standing) -> Text:
    if standing.role != "shadow":
        return Text("master")
    if standing.may_take_over is None:
        return Text("shadow")
    return Text("shadow, in sync") if standing.may_take_over else Text("shadow", style="yellow")


def _explained(standings: Sequence[Standing]) -> Iterator[Text]:
    """What the table says in too few words."""
    for each in standings:
        if each.site and each.role not in ("shadow", f"master of {each.site}"):
            yield whole(f"{each.server}: {each.role}")
        if each.may_take_over is False and each.role == "shadow":
            yield whole(f"{each.server}: not in sync, so that it can't take the master's place", "yellow")
    unknown = {part.site: part.master for each in standings for part in _sent_to(each) if part.behind is None}
    for site, master in unknown.items():
        if site:
            why = f"while its master, {master}, does not answer"
            yield whole(f"what replicas lack of the part of {site} can't be told {why}", "yellow")


def show_servers(standings: Sequence[ServerStanding], console: Console) -> None:
    """Print a line for each server of a directory that is not ours."""
    table = columns("SERVER", "STATE", "CHANGES", "ENTRIES", right="ENTRIES", shrinking=("SERVER",))
    for each in standings:
        entries = "–" if each.entries is None else f"{each.entries:,}"
        table.add_row(whole(each.uri), state(each.outcome), each.changes or "–", entries)
    reasons = [whole(each.state, "bold red") for each in standings if each.state != "ok"]
    show(console, Group(table, *reasons))


def _sent_to(standing: Standing) -> list[PartStanding]:
    """The parts that others send it."""
    return [part for part in standing.parts if part.master != standing.server]


def _behind(standing: Standing) -> Text:
    """How far it is behind in what others send it; of a part whose master is away, nobody can tell."""
    sent = _sent_to(standing)
    known = [part.behind for part in sent if part.behind is not None]
    if not known:
        return Text("–")
    unknown = " + ?" if len(known) < len(sent) else ""
    return plain(f"{sum(known):,}{unknown}", "yellow" if any(known) else "")


def _clock(ahead_s: float | None) -> Text:
    if ahead_s is None:
        return Text("–")
    sign = "-" if round(ahead_s) < 0 else "+"
    return Text(f"{sign}{short_span(abs(ahead_s))}", style="bold red" if abs(ahead_s) > _CLOCKS_APART_S else "")
