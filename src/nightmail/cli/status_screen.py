"""`nightmail status`: one server on one screen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.text import Text

from nightmail.admin.answers import DirectoryPicture, PartPicture, ServerPicture
from nightmail.cli.screen import columns, plain, show, state, whole
from nightmail.cli.words import count, span
from nightmail.directory.told_masters import CONTRADICTS
from nightmail.mail.headers import printable

_TABLES_REFUSED = "The tables were refused; the last good ones are in force:"


def show_status(picture: ServerPicture, console: Console) -> None:
    """Print the whole picture."""
    parts = [_headline(picture), Text(), _switches(picture), Text(), _queues(picture)]
    if picture.peers:
        parts += [Text(), _peers(picture)]
    if picture.directory is not None:
        parts += [Text(), _directory(picture.directory, picture.server)]
    if picture.tables != "ok":
        refused = "Not all that the directory says is in force:" if picture.directory is not None else _TABLES_REFUSED
        fault = Text(refused, style="bold red")
        parts += [Text(), fault, Text(printable(picture.tables))]
    show(console, Group(*parts))


def _headline(picture: ServerPicture) -> RenderableType:
    waiting = sum(queue.messages for queue in picture.queues if queue.owner in ("", picture.server))
    return Text.assemble(
        plain(picture.server, "bold"),
        " is ",
        state(picture.state),
        f" · up {span(picture.uptime_s)} · {count(waiting, 'message')} queued · nightmail {picture.version}",
    )


def _switches(picture: ServerPicture) -> RenderableType:
    table = columns("SWITCH", "STATE", "PID", "SESSIONS", "RESTARTS", "STORE", "TABLES", right="PID SESSIONS RESTARTS")
    for each in picture.switches:
        table.add_row(
            f"{each.switch} secondary for {printable(each.secondary_for)}" if each.secondary_for else str(each.switch),
            state(each.state),
            str(each.pid or "–"),
            f"{each.sessions:,}",
            plain(f"{each.restarts:,}", "yellow" if each.restarts else ""),
            state(each.store) if each.store else "–",
            _tables(picture, each.routing),
        )
    return table


def _tables(picture: ServerPicture, routing: str) -> Text:
    """A switch is content with the old tables where the server refused the new ones."""
    if routing == "ok" and picture.tables != "ok":
        return Text("the last good", style="yellow")
    return state(routing) if routing else Text("–")


def _queues(picture: ServerPicture) -> RenderableType:
    if not picture.queues:
        return Text("No switch tells of a queue.", style="dim")
    table = columns(
        "QUEUE", "OWNER", "EPOCH", "SLOT", "MESSAGES", "ACTIVE", "WAITING", "HELD",
        right="EPOCH SLOT MESSAGES ACTIVE WAITING HELD",
    )  # fmt: skip
    for queue in picture.queues:
        numbers = (queue.epoch, queue.slot, queue.messages, queue.active, queue.waiting, queue.held)
        table.add_row(plain(queue.id), plain(queue.owner), *(f"{number:,}" for number in numbers))
    return table


def _directory(picture: DirectoryPicture, server: str) -> RenderableType:
    table = columns(
        "DIRECTORY", "ROLE", "STATE", "PID", "IN-FORCE", "REFUSED", "ASKED",
        right="PID IN-FORCE REFUSED", shrinking=("DIRECTORY",),
    )  # fmt: skip
    faults = [standing for standing in picture.asked.values() if standing != "ok"]
    style = "yellow" if len(faults) < len(picture.asked) else "bold red"
    table.add_row(
        whole(picture.suffix),
        _role(picture, server),
        state(picture.state) if picture.state else "–",
        str(picture.pid or "–"),
        f"{picture.entries:,}",
        plain(f"{picture.refused:,}", "yellow" if picture.refused else ""),
        _asked(picture, len(faults), style),
    )
    rows: list[RenderableType] = [table]
    if picture.parts:
        rows += [Text(), _parts(picture.parts)]
    else:
        followed = _followed(picture.followed, is_known=picture.is_known)
        rows.append(Text("Followed at " if picture.followed else "Followed ") + followed)
    if picture.fault:
        rows.append(whole(picture.fault, "bold red"))
    return Group(*rows, *(whole(_told(fault), style) for fault in faults))


def _told(fault: str) -> str:
    """What is wrong with a replica, given its URI and why. Where masters contradict each other it can be asked."""
    _, _, why = fault.partition(": ")
    what = "Masters contradict each other at" if why.startswith(CONTRADICTS) else "Addresses can't be looked up at"
    return f"{what} {fault}"


def _asked(picture: DirectoryPicture, faults: int, style: str) -> Text:
    """At how many of the replicas addresses can be looked up."""
    if not picture.asked:
        return Text("–")
    return Text(f"{len(picture.asked) - faults} of {len(picture.asked)}", style=style if faults else "")


def _parts(parts: Sequence[PartPicture]) -> RenderableType:
    """Each site's part: who takes its writes, and where it is followed here."""
    table = columns("PART", "MASTER", "FOLLOWED AT", "IN-FORCE", right="IN-FORCE")
    for part in parts:
        table.add_row(
            plain(part.site),
            plain(part.master) if part.master else "–",
            _followed(part.followed, is_known=part.is_known),
            f"{part.entries:,}",
        )
    return table


def _followed(uri: str, *, is_known: bool) -> Text:
    if uri:
        return plain(uri)
    lacking = "nowhere: the last copy is in force" if is_known else "nowhere, nor was it ever: no mail is taken"
    return Text(lacking, style="bold red")


def _role(picture: DirectoryPicture, server: str) -> Text:
    """What this server's replica is, and whose shadow."""
    sites = " and ".join(part.site for part in picture.parts if part.master == server)
    if picture.role == "master" and sites:
        return plain(f"master of {sites}")
    if picture.role != "shadow" or picture.parts:
        return Text(picture.role or "–")
    return plain(f"shadow of {picture.master}") if picture.master else Text("shadow, no master", style="bold red")


def _peers(picture: ServerPicture) -> RenderableType:
    table = columns("PEER", "STATE", "HEARTBEAT", right="HEARTBEAT")
    for peer in picture.peers:
        age = "–" if peer.heartbeat_age_s is None else f"{peer.heartbeat_age_s:.1f} s ago"
        table.add_row(plain(peer.server), state(peer.state), age)
    return table
