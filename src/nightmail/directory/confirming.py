"""When a write counts where the master's role moves: once every replica that may take the role over has it.

Who that is, is asked of the role's log after the write was taken: whoever joins later has what was there before, and
whoever was left out by then may never take the role. A replica counts as having the write only while it follows the
same master in the same epoch. One that has become the master itself may have newer changes of the same entry, and not
this one. That an entry is gone counts once the replica has come as far as the master had: it may not have come yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nightmail.directory.role import Role, Sighting
from nightmail.directory.role_log import RoleLog
from nightmail.errors import DirectoryUnavailable, StoreUnavailable
from nightmail.world import Clock

_LOOK_AGAIN_S = 0.01
_LEAST_PATIENCE_S = 15.0  # until a shadow is left out that hangs, or is too far behind

Lack = Callable[[str, Role], Awaitable[str]]
"""Why the writes do not count as being on a server's replica yet, empty if they do."""


async def look(roles: RoleLog, known: Sighting | None = None) -> Sighting:
    """The role as it is now. Raises: DirectoryUnavailable: there is none, or it can't be read."""
    try:
        seen = await roles.look(known)
    except StoreUnavailable as error:
        raise DirectoryUnavailable(f"who takes writes can't be told: {error}") from error
    if seen is not None and seen.unread:
        raise DirectoryUnavailable(f"who takes writes can't be told: {seen.fault}")
    if seen is None:
        right = (
            "restart the first master's server; where it has no entries yet, `nightmail directory init` there before"
        )
        raise DirectoryUnavailable(f"nobody is the directory's master yet; {right}")
    return seen


async def confirmed(roles: RoleLog, role: Role, lack: Lack, clock: Clock) -> list[str]:
    """Wait until what was written in `role` counts; the other servers that have it.

    Raises:
        DirectoryUnavailable: it does not, or nobody can tell: it may be found there later all the same.
    """
    deadline = clock.elapsed() + max(_LEAST_PATIENCE_S, 3 * role.promise_s)
    seen: Sighting | None = None
    while True:
        seen = await look(roles, seen)
        if seen.role.epoch != role.epoch:
            raise DirectoryUnavailable(f"{seen.role.master} became the master meanwhile; {_unknown(role)}")
        needed = [server for server in seen.role.needed if server != role.master]
        lacking = {server: why for server in needed if (why := await lack(server, role))}
        if not lacking:
            return needed
        if clock.elapsed() > deadline:
            reasons = "; ".join(f"{server}: {why}" for server, why in lacking.items())
            raise DirectoryUnavailable(f"{_unknown(role)} ({reasons})")
        await asyncio.sleep(_LOOK_AGAIN_S)


def _unknown(role: Role) -> str:
    return f"what was written on {role.master} is not acknowledged: look whether it is there, and repeat it if not"
