"""What will go wrong with a replica that is well so far, and what to do about it.

The master numbers each change by its clock, and a shadow that comes back asks for the changes after the last number it
has seen. A clock that was ahead leaves a number of the future behind: what is written from then on, while a shadow is
away, has smaller numbers, and is never asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

_CLOCKS_APART_S = 2.0
_NEARLY_FULL = 0.9
_MOMENT = 14
_HOW_FAR = "contextCSN"
_NUMBERS = ("entryCSN", _HOW_FAR)
_LAST = 0xFFFFFF


def ahead_s(moment: str, now: float) -> float:
    """How far ahead of `now` a time is as the directory writes it; a change's number begins with one."""
    then = datetime.strptime(moment[:_MOMENT], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return then.timestamp() - int(now)


def apart_s(second: str, before: float, after: float) -> float:
    """By how much a clock is ahead that showed this `second` at some time from `before` to `after`, within half of one.

    Negative where it is behind; 0 where it may be right, since it does not tell the part of its second.
    """
    least, most = ahead_s(second, after) - after % 1, ahead_s(second, before) - before % 1 + 1
    return 0.0 if least <= 0 <= most else (least + most) / 2


def warnings_of_time(clock_s: float, numbered_s: float) -> Iterator[str]:
    """What comes of a replica's clock, and of its last change's number, where they are so far ahead."""
    if abs(clock_s) > _CLOCKS_APART_S:
        yield (
            f"its clock is {clock_s:+,.0f} s off: set it right, and write nothing until then; "
            "changes are numbered by the master's clock"
        )
    if numbered_s > _CLOCKS_APART_S:
        yield (
            f"its last change has a number {numbered_s:,.0f} s ahead of time; until then a shadow that was away misses "
            "what was written meanwhile: set clocks right, then `nightmail directory backup`, stop the servers, "
            "`restore` numbers anew, and `reseed` the shadow"
        )


def warnings_of_room(used_bytes: int, room_bytes: int, name: str = "") -> Iterator[str]:
    """What comes of it that so much of the room of a replica's database is taken, of the one below `name` if it has
    several.
    """
    if used_bytes > _NEARLY_FULL * room_bytes > 0:
        database = f"its database {name}" if name else "its database"
        yield (
            f"{database} is {used_bytes / room_bytes:.0%} full, and a full one takes no writes: raise "
            "[directory] size_limit_mib, and restart its server"
        )


def numbered_anew(lines: Iterable[str], now: float) -> Iterator[str]:
    """Lines of LDIF, the changes with numbers of the future numbered as if they had been made now."""
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d%H%M%S.%fZ")
    count = 0
    for line in lines:
        name, _, number = line.partition(": ")
        if name not in _NUMBERS or number < moment:
            yield line
            continue
        _, _, replica, rest = number.split("#")
        yield f"{name}: {moment}#{_LAST if name == _HOW_FAR else count:06x}#{replica}#{rest}"
        count = min(count + 1, _LAST)
