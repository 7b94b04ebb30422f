"""How the replicas stand: whether each answers, what it has, how far it is behind the masters, what time it has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec

from nightmail.directory.comparing import changes_of
from nightmail.directory.parts import Part
from nightmail.directory.sessions import Access, Outcome, outcome_of
from nightmail.directory.threats import ahead_s, apart_s, warnings_of_room, warnings_of_time
from nightmail.directory.told_masters import contradiction, told_at
from nightmail.directory.tree import folded_name
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.world import Clock

_TIME = "cn=Current,cn=Time,cn=Monitor"
_DATABASES = "cn=Databases,cn=Monitor"
_CONTEXT = "namingContexts"
_PAGE_BYTES = 4096
_ARRIVAL_S = 5.0
_LOOK_AGAIN_S = 0.002

_Changes = Mapping[str, str]
"""The number of each entry's last change, by the entries' names."""


class PartStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica has of one part: of the site `site`, if each has one, where the server `master` takes writes.

    `behind` is how many entries differ from the master's, None where that can't be told.
    """

    site: str
    master: str
    entries: int
    behind: int | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One replica, and what it has: in all, and of each of the `parts`. `site` is where it stands, with several sites.

    `behind` is how many entries differ from the masters', None where that can't be told of every part. `clock_s` is
    what its clock shows more than ours, to half a second, and 0 where it may show the same. `state` is ok, or why it
    does not answer, which `outcome` says in a word. `may_take_over` says whether it is in sync, where the role of the
    master moves. `warnings` say what will go wrong if nobody does anything, and what to do.
    """

    server: str
    role: str
    uri: str
    site: str = ""
    state: str = "ok"
    outcome: Outcome = "ok"
    entries: int | None = None
    behind: int | None = None
    parts: tuple[PartStanding, ...] = ()
    used_bytes: int = 0
    room_bytes: int = 0
    clock_s: float | None = None
    may_take_over: bool | None = None
    warnings: tuple[str, ...] = ()


def look_at(servers: Mapping[str, str], masters: Mapping[Part, str], access: Access, clock: Clock) -> list[Standing]:
    """How each replica stands, the URIs by the servers' names; `masters` are the servers that take writes to the parts,
    `clock` tells the time of day here. Blocks, for as long as the slowest of them takes.
    """

    def look(server: str) -> tuple[Standing, Mapping[Part, _Changes]]:
        standing = Standing(server=server, role=_role(server, masters), uri=servers[server])
        try:
            with Directory(servers[server], access) as directory:
                return _seen(standing, directory, masters, clock)
        except (DirectoryUnavailable, ConfigInvalid) as error:
            return msgspec.structs.replace(standing, state=str(error), outcome=outcome_of(error)), {}

    with ThreadPoolExecutor(max(1, len(servers))) as threads:
        looks = [*threads.map(look, servers)]
    contents = {standing.server: has for standing, has in looks}
    return [_compared(standing, contents, masters) for standing, _ in looks]


def _role(server: str, masters: Mapping[Part, str]) -> str:
    parts = [part for part, master in masters.items() if master == server]
    sites = " and ".join(part.site for part in parts if part.site)
    return f"master of {sites}" if sites else "master" if parts else "shadow"


def _seen(
    standing: Standing, directory: Directory, masters: Mapping[Part, str], clock: Clock
) -> tuple[Standing, Mapping[Part, _Changes]]:
    """What the replica tells of itself, and what it has of each part."""
    parts = [*masters]
    contents = {part: changes_of(directory, part.base) for part in parts}
    newest = max((_newest_change(directory, part) for part in parts), default="")
    standing, full = _measured(standing, directory, parts, clock)
    numbered_s = ahead_s(newest, clock.wall()) if newest else 0.0
    wrong = contradiction(masters, told_at(directory))
    warnings = (*([str(wrong)] if wrong else []), *warnings_of_time(standing.clock_s or 0.0, numbered_s), *full)
    return msgspec.structs.replace(standing, warnings=warnings), contents


def _newest_change(directory: Directory, part: Part) -> str:
    top = directory.read(part.base, ["contextCSN"])
    return max(top.attributes.get("contextCSN", ()), default="") if top is not None else ""


def _measured(
    standing: Standing, directory: Directory, parts: list[Part], clock: Clock
) -> tuple[Standing, tuple[str, ...]]:
    """With its clock, and the room that its databases take; also what comes of those that are nearly full."""
    used = room = 0
    warnings: list[str] = []
    for name, its_used, its_room in _rooms(directory):
        used, room = used + its_used, room + its_room
        is_all = len(parts) == 1 and folded_name(name) == folded_name(parts[0].base)
        warnings += warnings_of_room(its_used, its_room, "" if is_all else name)
    before = clock.wall()
    [shown] = [item.attributes["monitorTimestamp"][0] for item in directory.search(_TIME, attributes=["+"])]
    clock_s = apart_s(shown, before, clock.wall())
    return msgspec.structs.replace(standing, used_bytes=used, room_bytes=room, clock_s=clock_s), tuple(warnings)


def _rooms(directory: Directory) -> Iterator[tuple[str, int, int]]:
    """The top of each database, how many octets it takes, and how many it may take."""
    asked = [_CONTEXT, "olmMDBPagesUsed", "olmMDBPagesMax"]
    for item in directory.search(_DATABASES, "(objectClass=olmMDBDatabase)", asked):
        used, room = (int(item.attributes[name][0]) for name in asked[1:])
        yield item.attributes[_CONTEXT][0], used * _PAGE_BYTES, room * _PAGE_BYTES


def _compared(
    standing: Standing, contents: Mapping[str, Mapping[Part, _Changes]], masters: Mapping[Part, str]
) -> Standing:
    if standing.state != "ok":
        return standing
    parts = tuple(
        PartStanding(
            site=part.site,
            master=masters[part],
            entries=len(has),
            behind=_apart(has, contents.get(masters[part], {}).get(part)),
        )
        for part, has in contents[standing.server].items()
    )
    known = [part.behind for part in parts if part.behind is not None]
    return msgspec.structs.replace(
        standing,
        parts=parts,
        entries=sum(part.entries for part in parts),
        behind=sum(known) if len(known) == len(parts) else None,
    )


def _apart(has: _Changes, wanted: _Changes | None) -> int | None:
    """How many entries differ, None where nobody knows what the master has."""
    return None if wanted is None else len({name for name, _ in has.items() ^ wanted.items()})


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
