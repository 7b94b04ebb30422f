"""What the directory's master knows of its shadows: which are well, and which have everything that it has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec
import structlog

from nightmail.directory.comparing import Seen, has_everything, see
from nightmail.directory.lag import Lag
from nightmail.directory.role import Role, Shadow
from nightmail.directory.sessions import Access
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.world import Clock

_SUFFIX_OF = ",ou=system,"
_LACKS_FOR_LONG_S = 60.0

log = structlog.get_logger()


class Shadows:
    """Of one master in one epoch: `uris` are the shadows', `own` is the master's. `changed` is called where the role's
    next slot is due because of one of them. `newest` tells the master's newest change (contextCSN).

    All of them are looked at every `look_every_s`; who lacks a change for `lag_limit_s` is not well.
    """

    def __init__(
        self,
        epoch: int,
        own: str,
        uris: Mapping[str, str],
        access: Access,
        clock: Clock,
        *,
        changed: Callable[[], None],
        newest: Callable[[], str],
        look_every_s: float,
        lag_limit_s: float,
    ) -> None:
        self._epoch = epoch
        self._own = own
        self._uris = uris
        self._access = access
        self._clock = clock
        self._changed = changed
        self._newest = newest
        self._look_every_s = look_every_s
        self._lags = {name: Lag(lag_limit_s) for name in uris}
        self._lacks_since: dict[str, float] = {}
        self._role: Role | None = None
        self.known = {name: Shadow(well_at=float("-inf")) for name in uris}

    def note(self, slot: int, role: Role) -> None:
        """The role's log says this now."""
        for name, shadow in self.known.items():
            if name not in role.needed:
                self.known[name] = Shadow(shadow.well_at)
            elif name in role.joining and shadow.joined < 0:
                self.known[name] = Shadow(shadow.well_at, joined=slot)
        self._role = role

    async def mind(self) -> None:
        """Look at all of them, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in self._uris:
                group.create_task(self._mind(name))

    async def _mind(self, name: str) -> None:
        replica: Directory | None = None
        while True:
            try:
                if replica is None:
                    replica = await asyncio.to_thread(Directory, self._uris[name], self._access)
                seen = await asyncio.to_thread(see, replica, self._access.name.partition(_SUFFIX_OF)[2])
                await self._note_seen(name, seen)
            except (DirectoryUnavailable, ConfigInvalid):  # who is not seen to be well is left out in time
                replica = None
            except Exception as error:  # whatever it is, the role is kept, and the others are minded
                replica = None
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
        if name not in role.needed:
            self._changed()
        elif name in role.joining and shadow.joined >= 0 and not shadow.has_everything:
            await self._compare(name, shadow.joined)

    async def _compare(self, name: str, joined: int) -> None:
        """Whether it has what was written before it was joining: what is written since is waited for."""
        is_alike = await asyncio.to_thread(has_everything, self._own, self._uris[name], self._access)
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
