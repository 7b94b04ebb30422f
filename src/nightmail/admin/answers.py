"""What a server answers its operator, and how the answers of its switches become one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nightmail.net.control_messages import MessageRow, QueueStatus, SwitchStatus


class SwitchPicture(msgspec.Struct, frozen=True, kw_only=True):
    """One switch: `state` is starting, serving, draining, stopping, restarting, stopped or silent.

    `secondary_for` is the dead server whose queues it runs; empty for a primary switch. `replicas` are those of the
    directory, by their URIs: `ok`, or why addresses can't be looked up there.
    """

    switch: int
    state: str
    pid: int = 0
    restarts: int = 0
    sessions: int = 0
    store: str = ""
    routing: str = ""
    counters: dict[str, float] = {}
    secondary_for: str = ""
    is_cut_off: bool = False
    replicas: dict[str, str] = {}


class PeerPicture(msgspec.Struct, frozen=True, kw_only=True):
    """Another server of the cluster; the age is None as long as no heartbeat of it was seen."""

    server: str
    state: str = "unknown"
    heartbeat_age_s: float | None = None


class PartPicture(msgspec.Struct, frozen=True, kw_only=True):
    """One site's part of the directory as a server sees it: `base` is the entry below which it is.

    `master` is the server that takes writes to it, `followed` the URI of the replica from which this server takes it,
    empty where none can be. `is_known` is false as long as nothing of it was ever seen: then no mail is taken.
    """

    site: str
    base: str
    master: str = ""
    followed: str = ""
    entries: int = 0
    is_known: bool = False


class DirectoryPicture(msgspec.Struct, frozen=True, kw_only=True):
    """The directory as a server sees it: the replica that it runs, and the one from which it takes its routing.

    `role` is master or shadow, external where others run it, empty where this server has no replica; `state` is
    starting, running, restarting, not set up or stopped, and `fault` says why it is not running. `followed` is the URI
    of the replica that is followed, empty where none can be: then what was last in force stays so, and where `is_known`
    is false there was nothing yet, so that no mail is taken. Where tables say what is not looked up, it is their
    directory. `refused` are entries that are not in force as they are.
    `master` is the server that takes writes, empty where nobody is known to. Where that role moves, `epoch` counts how
    often it was taken, and those `in_sync` may take it. `asked` are the replicas where addresses are looked up: `ok`,
    or why some switch can't.
    Where each site has its part, these are the `parts`: `role` is master where this server takes writes to one of them,
    `master` is the one of its own site's, and `followed` is empty where any of them can't be followed.
    """

    suffix: str
    role: str = ""
    state: str = ""
    pid: int = 0
    fault: str = ""
    followed: str = ""
    is_known: bool = False
    entries: int = 0
    refused: int = 0
    master: str = ""
    epoch: int = 0
    in_sync: tuple[str, ...] = ()
    asked: dict[str, str] = {}
    parts: tuple[PartPicture, ...] = ()


class ServerPicture(msgspec.Struct, frozen=True, kw_only=True):
    """All that `status` tells. `tables` is `ok`, or why the tables as they are now are not in force."""

    server: str
    state: str
    version: str
    uptime_s: float
    tables: str = "ok"
    switches: tuple[SwitchPicture, ...] = ()
    queues: tuple[QueueStatus, ...] = ()
    peers: tuple[PeerPicture, ...] = ()
    directory: DirectoryPicture | None = None


class QueuePage(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of all switches in the order of their ids, and which switches did not tell theirs."""

    messages: tuple[MessageRow, ...]
    more: bool
    faults: tuple[str, ...] = ()


class ActionDone(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages an action reached, and what kept it from some switches."""

    count: int
    faults: tuple[str, ...] = ()


def picture_switch(
    number: int, state: str, pid: int, restarts: int, told: SwitchStatus | None, *, secondary_for: str = ""
) -> SwitchPicture:
    """A switch as its process is known to the supervisor, and as it describes itself where it answered."""
    if told is None:
        silent = "silent" if state == "serving" else state
        return SwitchPicture(switch=number, state=silent, pid=pid, restarts=restarts, secondary_for=secondary_for)
    return SwitchPicture(
        switch=number,
        state=told.state if state == "serving" else state,
        pid=pid,
        restarts=restarts,
        sessions=told.sessions,
        store=told.store,
        routing=told.routing,
        counters=told.counters,
        secondary_for=secondary_for,
        is_cut_off=told.is_cut_off,
        replicas=told.replicas,
    )


def state_of(switches: Sequence[SwitchPicture]) -> str:
    """The state of the whole server, from those of its switches."""
    states = [switch.state for switch in switches if not switch.secondary_for]
    for state in ("stopping", "draining", "serving", "starting", "restarting", "silent"):
        if state in states:
            return state
    return "stopped"


def asked_of(switches: Sequence[SwitchPicture]) -> dict[str, str]:
    """Each replica of the directory: ok where every switch looks addresses up there, else why one of them can't."""
    asked: dict[str, str] = {}
    for switch in switches:
        for uri, standing in switch.replicas.items():
            if asked.get(uri, "ok") == "ok":
                asked[uri] = standing
    return asked


def why_others_are_better(switches: Sequence[SwitchPicture]) -> str:
    """Why new clients are better off with a partner that is well; empty where they are not."""
    away = [switch for switch in switches if switch.is_cut_off and not switch.secondary_for]
    return f"switch {away[0].switch} does not get its puts through: {away[0].store}" if away else ""


def is_leaving(switches: Sequence[SwitchPicture]) -> bool:
    """Whether a primary switch is on its way out."""
    return any(switch.state in ("draining", "stopping") for switch in switches if not switch.secondary_for)


def why_not_ready(switches: Sequence[SwitchPicture]) -> str:
    """Why a balancer should send nobody here; empty where it should: a switch serves, and none is draining.

    A secondary switch takes no mail, and is not asked.
    """
    switches = [switch for switch in switches if not switch.secondary_for]
    leaving = [switch for switch in switches if switch.state in ("draining", "stopping")]
    if leaving:
        return f"switch {leaving[0].switch} is {leaving[0].state}"
    if any(switch.state == "serving" for switch in switches):
        return ""
    return "; ".join(f"switch {switch.switch} is {switch.state}" for switch in switches) or "no switch runs"
