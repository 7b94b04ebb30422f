"""Has the replica that runs here be what it is to be, again after every start of it: a master, a shadow, or neither.

It takes writes only while this server has the right to the master's role, which ends by itself if it is not renewed in
time. Whether slapd answers at all is looked at as long as it is to be a master: who hangs must not renew.
"""

from __future__ import annotations

import asyncio
import calendar
import contextlib
import time
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import structlog

from nightmail.directory.managing import Part
from nightmail.directory.role import Follow
from nightmail.errors import DirectoryUnavailable
from nightmail.world import Clock

_TRY_AGAIN_S = 0.02
_LEAST_PAUSE_S = 0.001
_SAY_AGAIN_S = 60.0
_FAULT_SHOWS_S = 1.0
_UNKNOWN: tuple[int, object] = (0, None)

log = structlog.get_logger()


class Lead(NamedTuple):
    """Be the master of this epoch."""

    epoch: int


class Process(Protocol):
    """The place of a slapd."""

    @property
    def pid(self) -> int:
        """Its process, 0 while there is none."""
        ...


class Hands(Protocol):
    """What tells a slapd its role: `directory.managing.ManagerThread`, or what stands for it in a simulation.

    Every call raises DirectoryUnavailable where slapd does not do it.
    """

    async def follow(self, provider: str, master: str, epoch: int) -> None:
        """Follow the master at `provider`, and take no writes."""
        ...

    async def lead(self, epoch: int, master: str) -> None:
        """Follow nobody any more, and take writes."""
        ...

    async def shut(self, *, is_last: bool = False) -> None:
        """Take no writes; if it `is_last`, those that began are over once this returns."""
        ...

    async def look(self) -> tuple[Part, str]:
        """What it is, and the number of the newest change that it has (contextCSN), empty if it has none."""
        ...


class Gate:
    """`server` is this one, `uris` are where each server's replica is reached. `answered_at` is when slapd answered
    last, and `newest` what its newest change was then (contextCSN).
    """

    def __init__(self, server: str, uris: Mapping[str, str], replica: Process, manager: Hands, clock: Clock,
                 *, look_every_s: float) -> None:  # fmt: skip
        self.answered_at = clock.elapsed()
        self.newest = ""
        self._server = server
        self._uris = uris
        self._replica = replica
        self._manager = manager
        self._clock = clock
        self._look_every_s = look_every_s
        self._leads: Lead | None = None
        self._entitled_until = 0.0
        self._follows: Follow | None = None
        self._told = _UNKNOWN
        self._looked_at = 0.0
        self._changed = asyncio.Event()
        self._wrong_since: float | None = None
        self._said_at = 0.0
        self._said_open = False
        self._one_at_a_time = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether writes are taken here."""
        return self._leads is not None and self._told == (self._replica.pid, self._leads)

    def lead(self, epoch: int, until: float) -> None:
        """Be the master of `epoch`, `until` then in seconds of `Clock.elapsed`."""
        if self._leads != Lead(epoch):
            self.answered_at = self._clock.elapsed()
        self._leads, self._entitled_until, self._follows = Lead(epoch), until, None
        self._changed.set()

    def follow(self, part: Follow) -> None:
        """Be a shadow."""
        self._leads, self._follows = None, part
        self._changed.set()

    def look_again(self) -> None:
        """The replica was started anew."""
        self._changed.set()

    def lose(self) -> None:
        """Be neither, at once: another is the master."""
        self._leads, self._follows = None, None
        self._changed.set()

    async def why_not_ready(self) -> str:
        """Why the replica here could not take writes if it were to; empty if it could."""
        if not self._replica.pid:
            return "it does not run"
        try:
            _, newest = await self._manager.look()
        except DirectoryUnavailable as error:
            return str(error)
        return self._why_too_early(newest)

    async def shut(self) -> None:
        """Take no write any more, and let those that began end. Raises: DirectoryUnavailable."""
        self._leads, self._follows, self._said_open = None, None, False
        async with self._one_at_a_time:
            self._told = _UNKNOWN
            await self._manager.shut(is_last=True)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._changed.clear()
            async with self._one_at_a_time:
                pause_s = await self._level()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()

    async def _level(self) -> float:
        """Tell the replica what it is to be, where that is not what it was told; when to look again, in seconds."""
        now, pid = self._clock.elapsed(), self._replica.pid
        is_entitled = self._leads is not None and now < self._entitled_until
        wanted = self._leads if is_entitled else self._follows
        if not pid:
            return self._look_every_s
        try:
            if self._told != (pid, wanted):
                self._told = _UNKNOWN  # what fails may have been done, or be done yet
                await self._tell(wanted)
                self._told = (pid, wanted)
                self._wrong_since = None
            if now - self._looked_at >= self._look_every_s:
                self._looked_at = now
                await self._look(wanted)
        except DirectoryUnavailable as error:
            self._note(str(error))
            return _TRY_AGAIN_S
        if not is_entitled:
            return self._look_every_s
        return max(_LEAST_PAUSE_S, min(self._look_every_s, self._entitled_until - self._clock.elapsed()))

    async def _tell(self, wanted: Lead | Follow | None) -> None:
        if isinstance(wanted, Follow):
            await self._manager.follow(self._uris[wanted.master], wanted.master, wanted.epoch)
            log.info("directory master followed", server=wanted.master, epoch=wanted.epoch)
        elif isinstance(wanted, Lead):
            _, newest = await self._manager.look()
            if why := self._why_too_early(newest):
                raise DirectoryUnavailable(why)
            await self._manager.lead(wanted.epoch, self._server)
            self.newest, self.answered_at = newest, self._clock.elapsed()
            self._said_open = True
            log.info("directory takes writes here", epoch=wanted.epoch)
        else:
            await self._manager.shut()
            if self._said_open:
                log.warning("directory takes no writes here", remedy="none: it does again once the role is renewed")
            self._said_open = False

    async def _look(self, wanted: Lead | Follow | None) -> None:
        """See that the replica answers, and is what it was told: what it was told before may have been done later."""
        part, self.newest = await self._manager.look()
        self.answered_at = self._clock.elapsed()
        if part != self._as_wanted(wanted, part):
            log.warning("directory replica is not what it was told", part=part, remedy="none: it is told again")
            self._told = _UNKNOWN
            self._changed.set()

    def _as_wanted(self, wanted: Lead | Follow | None, part: Part) -> Part:
        if isinstance(wanted, Follow):
            return Part(wanted.master, wanted.epoch, is_open=False, provider=self._uris[wanted.master])
        if isinstance(wanted, Lead):
            return Part(self._server, wanted.epoch, is_open=True)
        return part._replace(is_open=False)

    def _why_too_early(self, newest: str) -> str:
        """Why no change may be made yet: one with an older number than others would be passed over by every shadow."""
        if not newest:
            return "it has no entries"
        if (behind_s := _moment(newest) - self._clock.wall()) > 0:
            return (
                f"the newest change is {behind_s:.1f} s in the future by this server's clock: set the clock, if it is "
                "wrong; if another one was, `nightmail directory backup` and `restore` number everything anew"
            )
        return ""

    def _note(self, reason: str) -> None:
        """What lasts for a moment only, as while slapd starts, is not worth a line."""
        now = self._clock.elapsed()
        if self._wrong_since is None:
            self._wrong_since, self._said_at = now, now + _FAULT_SHOWS_S - _SAY_AGAIN_S
        elif now - self._said_at > _SAY_AGAIN_S:
            self._said_at = now
            log.error("directory replica can't be told its role", reason=reason,
                      remedy="see why slapd does not answer; writes are not taken here meanwhile")  # fmt: skip


def _moment(csn: str) -> float:
    """When a change was made, from its number (contextCSN): seconds since 1970."""
    whole, _, rest = csn.partition(".")
    return calendar.timegm(time.strptime(whole, "%Y%m%d%H%M%S")) + float(f"0.{rest.partition('Z')[0] or 0}")
