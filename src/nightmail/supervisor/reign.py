"""The time of a master: its role is renewed as long as its replica answers, and handed over to whoever wants it.

Who hands it over takes no more writes first, and sees who has them all: they go on with what they have.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

import msgspec
import structlog

from nightmail.directory.role import Sighting, renewed
from nightmail.directory.role_log import RoleLog
from nightmail.errors import DirectoryUnavailable, Fenced, StoreUnavailable
from nightmail.supervisor.gate import Gate
from nightmail.supervisor.shadows import Peers, Shadows
from nightmail.world import Clock, Randomness

MARGIN_S = 0.05
HAND_OVER_S = 30.0
_NONCE_BYTES = 16
_KEPT_S = 60.0

log = structlog.get_logger()


class Terms(NamedTuple):
    """Who takes part: `server` is this one, `servers` are all that have a replica.

    `is_first`: this server is the master, should there never have been one.
    """

    server: str
    servers: Collection[str]
    is_first: bool
    lease_s: float
    lag_limit_s: float


class Replica(Protocol):
    """The place of this server's slapd: `supervisor.replica.ReplicaChild`, or what stands for it in a simulation."""

    @property
    def pid(self) -> int:
        """Its process, 0 while there is none."""
        ...

    @property
    def state(self) -> str:
        """`running`, or what else it does."""
        ...

    def start_anew(self) -> None:
        """Have it prepared and started again."""
        ...


class Means(NamedTuple):
    """What a server has to be a master with."""

    roles: RoleLog
    replica: Replica
    gate: Gate
    peers: Peers
    clock: Clock
    randomness: Randomness

    def nonce(self) -> str:
        """What tells a slot from any other."""
        return self.randomness.token(_NONCE_BYTES).hex()


class Bell:
    """Has whoever waits look at once; `is_stopping` once there is nothing left to wait for."""

    def __init__(self) -> None:
        self.is_stopping = False
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Have whoever waits go on, or who waits next."""
        self._rung.set()

    def stop(self) -> None:
        """Nobody waits any more."""
        self.is_stopping = True
        self._rung.set()

    async def wait(self, timeout_s: float) -> None:
        """Until it rings, or for so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()
        if not self.is_stopping:
            self._rung.clear()


class Reign:
    """Of the server that took the role by the slot `ours`. `bell` has it look at once, and says when to end; `note` is
    told what is wrong, or nothing where nothing is. `spent` are older slots that can go.
    """

    def __init__(
        self,
        terms: Terms,
        means: Means,
        ours: Sighting,
        *,
        bell: Bell,
        note: Callable[[str], None],
        spent: Collection[int],
    ) -> None:
        self.sighting = ours
        """The last slot that is ours."""
        self._server, self._lease_s = terms.server, terms.lease_s
        self._roles, self._replica, self._gate, self._peers, self._clock = means[:5]
        self._nonce = means.nonce
        self._bell = bell
        self._note = note
        now = self._clock.elapsed()
        self._spent = [(now, slot) for slot in spent]
        self._shadows = Shadows(
            ours.role.epoch, [name for name in terms.servers if name != terms.server], self._peers, self._clock,
            changed=bell.ring, newest=lambda: self._gate.newest,
            look_every_s=self._lease_s / 4, lag_limit_s=terms.lag_limit_s,
        )  # fmt: skip

    async def run(self) -> None:
        """Renew the role until another has it, or it was handed over."""
        minding = asyncio.create_task(self._shadows.mind())
        try:
            while not await self._hand_over_if_wanted():
                await self._renew()
                await self._bell.wait(self._lease_s / 3)
        except Fenced as fence:
            log.warning("directory master lost", reason=str(fence),
                        remedy="none: this replica begins anew with what its successor has")  # fmt: skip
            self._gate.lose()
        finally:
            minding.cancel()
            await asyncio.wait([minding])

    async def _renew(self, *, is_shut: bool = False) -> None:
        """Put the next slot, unless the replica does not answer; one that `is_shut` stays so. Raises: Fenced."""
        ours, now = self.sighting, self._clock.elapsed()
        if now - self._gate.answered_at > self._lease_s:
            if self._replica.pid and now - self._gate.answered_at > 2 * self._lease_s:
                log.error(
                    "directory replica hangs", pid=self._replica.pid, remedy="none: it is killed, and started anew"
                )
                self._replica.start_anew()
                self._gate.answered_at = now
            return
        role = renewed(ours.role, self._shadows.known, now, self._lease_s, self._nonce())
        try:
            await self._roles.follow(ours.slot + 1, role)
        except StoreUnavailable as error:
            self._note(str(error))
            return
        self._note("")
        if not is_shut:
            self._gate.lead(role.epoch, now + self._lease_s - MARGIN_S)
        if set(role.in_sync) < set(ours.role.in_sync):
            log.warning("directory replicas in sync", servers=", ".join(role.in_sync),
                        remedy="see to the others: without them nobody may take over from this one")  # fmt: skip
        elif role.in_sync != ours.role.in_sync:
            log.info("directory replicas in sync", servers=", ".join(role.in_sync))
        self.sighting = Sighting(ours.slot + 1, role, now, now)
        self._shadows.note(ours.slot + 1, role)
        await self._delete_spent(ours, now)

    async def _hand_over_if_wanted(self) -> bool:
        """Yield to who wants it, or to anybody where this server stops; whether that was done. Raises: Fenced."""
        ours = self.sighting
        if self._bell.is_stopping:
            await self._yield("")
            return True
        try:
            wishes = [name for name in await self._roles.wishes(ours.role.epoch) if name in ours.role.in_sync]
        except StoreUnavailable as error:
            self._note(str(error))
            return False
        if not wishes:
            return False
        if await self._yield(wishes[0]):
            return True
        with contextlib.suppress(StoreUnavailable):
            await self._roles.forget_wish(wishes[0], ours.role.epoch)
        return False

    async def _yield(self, to: str) -> bool:
        """Take no more writes, see who has them all, and give the role up; not to one who has not. Raises: Fenced."""
        try:
            await self._gate.shut()
            alike = await self._alike()
        except DirectoryUnavailable:
            alike = ()
        if to and to not in alike:
            log.warning("directory master not handed over", to=to, reason="it was not seen to have everything",
                        remedy="ask again once it is in sync")  # fmt: skip
            return False
        ours = self.sighting
        role = msgspec.structs.replace(
            ours.role, joining=(), leaving=(), begins=False, is_yielded=True, to=to, alike=alike, nonce=self._nonce()
        )
        try:
            await self._roles.follow(ours.slot + 1, role)
        except StoreUnavailable as error:
            self._note(str(error))
            return False
        log.info("directory master given up", to=to or "anybody", alike=", ".join(alike))
        return True

    async def _alike(self) -> tuple[str, ...]:
        """Those in sync that have everything; the role is renewed while they are compared. Raises: Fenced."""
        others = [name for name in self.sighting.role.in_sync if name != self._server]
        comparing = {name: asyncio.create_task(self._has_everything(name)) for name in others}
        deadline = self._clock.elapsed() + HAND_OVER_S
        try:
            while any(not task.done() for task in comparing.values()) and self._clock.elapsed() < deadline:
                await asyncio.wait(comparing.values(), timeout=self._lease_s / 3)
                await self._renew(is_shut=True)
        finally:
            for task in comparing.values():
                task.cancel()
        return tuple(name for name, task in comparing.items() if task.done() and not task.cancelled() and task.result())

    async def _has_everything(self, name: str) -> bool:
        try:
            return await self._peers.has_everything(name)
        except DirectoryUnavailable:
            return False

    async def _delete_spent(self, passed: Sighting, now: float) -> None:
        """Delete slots a minute after they were followed; those that begin an epoch stay (J5)."""
        if not passed.role.begins:
            self._spent.append((now, passed.slot))
        due = [slot for since, slot in self._spent if now - since > _KEPT_S]
        if due:
            with contextlib.suppress(StoreUnavailable):
                await self._roles.delete(due)
                self._spent = [(since, slot) for since, slot in self._spent if slot not in set(due)]
