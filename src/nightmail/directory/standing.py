"""How the replicas stand: whether each answers, what it has, how far it is behind the master, what time it has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

import msgspec

from nightmail.directory.accounts import suffix_of
from nightmail.directory.sessions import Access
from nightmail.directory.threats import ahead_s, warnings_of_room, warnings_of_time
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.world import Clock

_TIME = "cn=Current,cn=Time,cn=Monitor"
_DATABASES = "cn=Databases,cn=Monitor"
_PAGE_BYTES = 4096
_ARRIVAL_S = 5.0
_LOOK_AGAIN_S = 0.002


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One replica. `behind` is how many entries differ from the master's, None where that can't be told.

    `clock_s` is what its clock shows more than ours, in whole seconds and as the way there takes. `state` is ok, or why
    it does not answer. `may_take_over` says whether it is in sync, where the role of the master moves. `warnings` say
    what will go wrong if nobody does anything, and what to do.
    """

    server: str
    role: str
    uri: str
    state: str = "ok"
    entries: int | None = None
    behind: int | None = None
    used_bytes: int = 0
    room_bytes: int = 0
    clock_s: float | None = None
    may_take_over: bool | None = None
    warnings: tuple[str, ...] = ()


def look_at(servers: Mapping[str, str], master: str, access: Access, now: float) -> list[Standing]:
    """How each replica stands, the URIs by the servers' names; `now` is the time of day here. Blocks."""
    contents: dict[str, Mapping[str, str]] = {}
    standings = []
    for server, uri in servers.items():
        standing = Standing(server=server, role="master" if server == master else "shadow", uri=uri)
        try:
            with Directory(uri, access) as directory:
                contents[server], newest = _states(directory, access)
                standing = _measured(standing, directory, now)
                numbered_s = ahead_s(newest, now) if newest else 0.0
                standing = msgspec.structs.replace(standing, warnings=(*_warnings(standing, numbered_s),))
        except (DirectoryUnavailable, ConfigInvalid) as error:
            standing = msgspec.structs.replace(standing, state=str(error))
        standings.append(standing)
    return [_compared(standing, contents, master) for standing in standings]


def _states(directory: Directory, access: Access) -> tuple[dict[str, str], str]:
    """The number of each entry's last change, and of the last of all."""
    suffix = suffix_of(access.name)
    states, newest = dict[str, str](), ""
    for item in directory.search(suffix, attributes=["entryCSN", "contextCSN"]):
        states[item.dn] = next(iter(item.attributes.get("entryCSN", ())), "")
        newest = max(newest, *item.attributes.get("contextCSN", ("",)))
    return states, newest


def _measured(standing: Standing, directory: Directory, now: float) -> Standing:
    used = room = 0
    for item in directory.search(_DATABASES, "(objectClass=olmMDBDatabase)", ["olmMDBPagesUsed", "olmMDBPagesMax"]):
        used += _PAGE_BYTES * int(item.attributes["olmMDBPagesUsed"][0])
        room += _PAGE_BYTES * int(item.attributes["olmMDBPagesMax"][0])
    [clock] = [item.attributes["monitorTimestamp"][0] for item in directory.search(_TIME, attributes=["+"])]
    return msgspec.structs.replace(standing, used_bytes=used, room_bytes=room, clock_s=ahead_s(clock, now))


def _warnings(standing: Standing, numbered_ahead_s: float) -> Iterator[str]:
    yield from warnings_of_time(standing.clock_s or 0.0, numbered_ahead_s)
    yield from warnings_of_room(standing.used_bytes, standing.room_bytes)


def _compared(standing: Standing, contents: Mapping[str, Mapping[str, str]], master: str) -> Standing:
    mine, masters = contents.get(standing.server), contents.get(master)
    if mine is None:
        return standing
    behind = None if masters is None else len({name for name, _ in masters.items() ^ mine.items()})
    return msgspec.structs.replace(standing, entries=len(mine), behind=behind)


async def why_not_there(uri: str, access: Access, written: Mapping[str, str], clock: Clock) -> str:
    """Why changes can't be seen at a replica after a moment; empty once they all can. Its looks block."""
    deadline = clock.elapsed() + _ARRIVAL_S
    try:
        with Directory(uri, access) as directory:
            while not directory.has_all(written):
                if clock.elapsed() > deadline:
                    return f"it is more than {_ARRIVAL_S:g} s behind"
                await asyncio.sleep(_LOOK_AGAIN_S)
    except (DirectoryUnavailable, ConfigInvalid) as error:
        return str(error)
    return ""
