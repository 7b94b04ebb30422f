"""What the directory's master knows of its shadows: which are well, and which have everything that it has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec
import structlog

from nightmail.directory.comparing import Seen
from nightmail.directory.lag import Lag
from nightmail.directory.role import Role, Shadow
from nightmail.errors import DirectoryUnavailable
from nightmail.world import Clock

_LACKS_FOR_LONG_S = 60.0

log = structlog.get_logger()


class Peers(Protocol):
    """What the master can see of others' replicas: `supervisor.peers.ReplicaPeers`, or what stands for it."""

    async def see(self, server: str) -> Seen:
        """What a replica is at present. Raises: DirectoryUnavailable."""
        ...

    async def has_everything(self, server: str) -> bool:
        """Whether it has all that ours has. Raises: DirectoryUnavailable."""
        ...


class Shadows:
    """The shadows on `servers`, of one master in one epoch. `changed` is called where one of them has the role's next
    slot be due. `newest` tells the master's newest change (contextCSN).

    All of them are looked at every `look_every_s`; who lacks a change for `lag_limit_s` is not well.
    """

    def __init__(
        self,
        epoch: int,
        servers: Iterable[str],
        peers: Peers,
        clock: Clock,
        *,
        changed: Callable[[], None],
        newest: Callable[[], str],
        look_every_s: float,
        lag_limit_s: float,
    ) -> None:
        self._epoch = epoch
        self._peers = peers
        self._clock = clock
        self._changed = changed
        self._newest = newest
        self._look_every_s = look_every_s
        self._lags = {name: Lag(lag_limit_s) for name in servers}
        self._lacks_since: dict[str, float] = {}
        self._role: Role | None = None
        self.known = {name: Shadow(well_at=float("-inf")) for name in servers}

    def note(self, slot: int, role: Role) -> None:
        """The role's log says this now."""
        for name, shadow in self.known.items():
            if name not in role.in_sync and name not in role.joining:
                self.known[name] = Shadow(shadow.well_at)
            elif name in role.joining and shadow.joined < 0:
                self.known[name] = Shadow(shadow.well_at, joined=slot)
        self._role = role

    async def mind(self) -> None:
        """Look at all of them, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in self.known:
                group.create_task(self._mind(name))

    async def _mind(self, name: str) -> None:
        while True:
            try:
                await self._note_seen(name, await self._peers.see(name))
            except DirectoryUnavailable:
                pass  # who is not seen to be well is left out in time
            except Exception as error:  # whatever it is, the role is kept, and the others are minded
                log.exception("shadow not minded", server=name, reason=str(error), remedy="none: report this")
            await asyncio.sleep(self._look_every_s)

    async def _note_seen(self, name: str, seen: Seen) -> None:
        now, lag = self._clock.elapsed(), self._lags[name]
        lag.note(seen.newest, self._newest(), now)
        if seen.epoch != self._epoch or seen.is_open or not seen.newest or lag.is_over_limit(now):
            return
        shadow = self.known[name] = msgspec.structs.replace(self.known[name], well_at=now)
        role = self._role
        if role is None:
            return
        if name not in role.in_sync and name not in role.joining:
            self._changed()
        elif name in role.joining and shadow.joined >= 0 and not shadow.has_everything:
            await self._compare(name, shadow.joined)

    async def _compare(self, name: str, joined: int) -> None:
        """Whether it has what was written before it was joining: what is written since is waited for."""
        is_alike = await self._peers.has_everything(name)
        now = self.known[name]
        if not is_alike:
            self._note_lack(name)
        elif now.joined == joined:
            self._lacks_since.pop(name, None)
            self.known[name] = msgspec.structs.replace(now, well_at=self._clock.elapsed(), has_everything=True)
            self._changed()

    def _note_lack(self, name: str) -> None:
        now = self._clock.elapsed()
        since = self._lacks_since.setdefault(name, now)
        if now - since > _LACKS_FOR_LONG_S:
            self._lacks_since[name] = now
            log.warning("directory shadow lacks something", server=name,
                        remedy="if it stays so: stop it, `nightmail directory reseed` there, start it")  # fmt: skip
