"""What the directory's master knows of its shadows: which are well, and which have everything that it has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec
import structlog

from nightmail.directory.comparing import Seen
from nightmail.directory.lag import Lag
from nightmail.directory.role import Role, Shadow
from nightmail.errors import DirectoryUnavailable
from nightmail.world import Clock

_COMPARE_AGAIN_S = 600.0
_LOOKS = 5

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
        self._comparing: dict[str, asyncio.Task[None]] = {}
        self._compared_at: dict[str, float] = {}
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
                group.create_task(self._mind(name, group))

    async def _mind(self, name: str, group: asyncio.TaskGroup) -> None:
        while True:
            try:
                with contextlib.suppress(DirectoryUnavailable):  # who is not seen to be well is left out in time
                    self._note_seen(name, await self._peers.see(name), group)
            except Exception as error:  # whatever it is, the role is kept, and the others are minded
                log.exception("shadow not minded", server=name, reason=str(error), remedy="none: report this")
            await asyncio.sleep(self._look_every_s)

    def _note_seen(self, name: str, seen: Seen, group: asyncio.TaskGroup) -> None:
        now, lag = self._clock.elapsed(), self._lags[name]
        lag.note(seen.newest, self._newest(), now)
        if seen.epoch != self._epoch or seen.is_open or not seen.newest or lag.is_over_limit(now):
            return
        shadow = self.known[name] = msgspec.structs.replace(self.known[name], well_at=now)
        role = self._role
        if role is None or name in self._comparing:
            return
        if name in role.in_sync:
            if now - self._compared_at.setdefault(name, now) > _COMPARE_AGAIN_S:
                self._comparing[name] = group.create_task(self._compare_again(name))
        elif name not in role.joining:
            self._changed()
        elif shadow.joined >= 0 and not shadow.has_everything:
            self._comparing[name] = group.create_task(self._compare(name, shadow.joined))

    async def _compare(self, name: str, joined: int) -> None:
        """Whether it has what was written before it was joining: what is written since is waited for."""
        is_alike = await self._is_alike(name)
        now = self.known[name]
        if is_alike and now.joined == joined:
            self._compared_at[name] = self._clock.elapsed()
            self.known[name] = msgspec.structs.replace(now, has_everything=True)
            self._changed()

    async def _compare_again(self, name: str) -> None:
        """Whether one that is in sync still has everything; one that has not has to join again."""
        for _ in range(_LOOKS):
            if await self._is_alike(name):
                self._compared_at[name] = self._clock.elapsed()
                return
            await asyncio.sleep(self._look_every_s)
        log.warning("directory shadow lacks something", server=name,
                    remedy="none: it is in sync again once it has everything")  # fmt: skip
        self._compared_at.pop(name, None)
        self.known[name] = Shadow(well_at=float("-inf"))
        self._changed()

    async def _is_alike(self, name: str) -> bool:
        try:
            return await self._peers.has_everything(name)
        except DirectoryUnavailable:
            return False
        finally:
            self._comparing.pop(name, None)
