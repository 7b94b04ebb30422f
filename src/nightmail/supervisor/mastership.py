"""A server's part in the role of the directory's master: watch its log, take it where it falls free, keep it, yield it.

The log in the store is the judge, as it is of queues. A master renews its role with a slot every third of the lease as
long as its replica answers; where the log stands still for its last promise, another that is in sync takes it. Who lost
the role without having handed it over begins anew with what its successor has.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

import msgspec
import structlog

from nightmail.directory.role import (
    Follow,
    Reseed,
    Role,
    Sighting,
    epoch_in,
    is_taken_with,
    may_take,
    part_of,
    renewed,
    successor,
    wait_s,
)
from nightmail.directory.role_log import RoleLog
from nightmail.errors import ConfigInvalid, Corrupt, DirectoryUnavailable, Fenced, StoreUnavailable
from nightmail.journal.records import Adopted
from nightmail.supervisor.gate import Gate
from nightmail.supervisor.shadows import Peers, Shadows
from nightmail.world import Clock, Randomness

_MARGIN_S = 0.05
_NONCE_BYTES = 16
_KEPT_S = 60.0
_SAY_AGAIN_S = 60.0
_SHOWS_AFTER = 2  # leases: a look that fails once is no fault
_HAND_OVER_S = 30.0
_JOINS_IN_S = 60.0
_MENDS = 2

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


class Note(Protocol):
    """Which epoch the replica's entries come from: `directory.held.Held`, or what stands for it."""

    def read(self) -> str:
        """The epoch (`Role.id`), or empty."""
        ...

    def write(self, epoch: str) -> None:
        """Note it, durably. Raises: OSError."""
        ...

    def forget(self) -> None:
        """Take the note away, durably. Raises: OSError."""
        ...


class Mastership:
    """`adopted` makes the record by which the role is taken in an epoch, `is_dead` says whether one's process is proven
    to have ended, `has_entries` whether the replica here has any.
    """

    def __init__(
        self,
        terms: Terms,
        *,
        roles: RoleLog,
        held: Note,
        replica: Replica,
        gate: Gate,
        peers: Peers,
        clock: Clock,
        randomness: Randomness,
        adopted: Callable[[int], Adopted],
        is_dead: Callable[[Adopted], bool],
        has_entries: Callable[[], bool],
    ) -> None:
        self._server, self._servers = terms.server, terms.servers
        self._may_begin = terms.is_first
        self._lease_s, self._lag_limit_s = terms.lease_s, terms.lag_limit_s
        self._roles = roles
        self._held = held
        self._replica = replica
        self._gate = gate
        self._peers = peers
        self._clock = clock
        self._randomness = randomness
        self._adopted = adopted
        self._is_dead = is_dead
        self._has_entries = has_entries
        self._sighting: Sighting | None = None
        self._wanted = asyncio.Event()
        self._is_stopping = False
        self._forced_past: int | None = None
        self._has_looked = False
        self._joining_since = clock.elapsed()
        self._mended = 0
        self._spent: list[tuple[float, int]] = []
        self._since = 0.0
        self._said_at = 0.0
        self.fault = ""
        """What keeps this server from being what it should be, or empty."""
        self.is_known = asyncio.Event()
        """Whether it is known what the replica is to be: until then it had better not run."""
        self.reseed: Reseed | None = None
        """What the replica is to begin anew with, when it is prepared next."""

    @property
    def role(self) -> Role | None:
        """The role as it was last seen."""
        return self._sighting.role if self._sighting is not None else None

    async def run(self) -> None:
        """Until `stop`."""
        pause_s = min(self._lease_s / 8, 1.0)
        while not self._is_stopping:
            try:
                self._note(await self._turn())
            except (StoreUnavailable, Corrupt, OSError) as error:
                self._note(str(error))
            except Exception as error:  # whatever it is, the log is looked at again
                log.exception("directory master not kept", reason=str(error), remedy="none: report this")
            await self._wait(pause_s)

    def stop(self) -> None:
        """Hand the role over, if it is ours, and end."""
        self._is_stopping = True
        self._wanted.set()

    async def promote(self) -> bool:
        """Have the master, unless this server is it, hand the role over to it; whether it takes writes now.

        Raises:
            ConfigInvalid: it can't be had, because this server may lack something.
            StoreUnavailable: the store is out of reach.
        """
        role = self.role
        if role is None or self._server not in role.in_sync:
            wrong = f"{self._server} is not in sync with the master" + (f", {role.master}" if role else "")
            right = (
                "start the master, and wait until both are; if it is lost for good, --force does without what it had"
            )
            raise ConfigInvalid("[directory]", wrong, right)
        if role.master == self._server:
            return await self._until_master()
        await self._roles.wish(self._server, role.epoch)
        try:
            return await self._until_master()
        finally:
            with contextlib.suppress(StoreUnavailable):
                await self._roles.forget_wish(self._server, role.epoch)

    async def force(self) -> bool:
        """Take the role though this server may lack what was acknowledged, once the log stood still; whether it has it.

        Raises:
            ConfigInvalid: another server keeps the role, or there are no entries here.
        """
        if not self._has_entries():
            raise ConfigInvalid("[directory]", f"{self._server} has no entries", "do this on a server that has some")
        if not self._has_looked:
            raise ConfigInvalid("[directory]", "the log of the role was not read yet", "see that the store is there")
        seen = self._sighting
        if seen is not None and not await self._stood_still(seen):
            wrong = f"{seen.role.master} keeps the role, or another has it"
            raise ConfigInvalid("[directory]", wrong, "without --force it is handed over; stop that server if it hangs")
        self._forced_past = seen.slot if seen is not None else -1
        self._wanted.set()
        try:
            return await self._until_master()
        finally:
            self._forced_past = None

    async def _stood_still(self, seen: Sighting) -> bool:
        """Wait until the log stood still for all promises there may be; whether it did."""
        while (now := self._sighting) is not None and now.slot == seen.slot:
            if self._age_s(now) >= wait_s(now.role, ""):
                return True
            await asyncio.sleep(_MARGIN_S)
        return False

    async def _until_master(self) -> bool:
        deadline = self._clock.elapsed() + _HAND_OVER_S + 2 * self._lease_s
        while self._clock.elapsed() < deadline:
            if self.role is not None and self.role.master == self._server and self._gate.is_open:
                return True
            await asyncio.sleep(_MARGIN_S)
        return False

    def _age_s(self, seen: Sighting) -> float:
        """For how long the log has stood still."""
        return seen.looked_at - seen.since

    async def _turn(self) -> str:
        """Look at the log once, and be what it says; what is wrong, or empty."""
        self._sighting = seen = await self._roles.look(self._sighting)
        self._has_looked = True
        held = self._held.read() if self._has_entries() else ""
        if self._is_forced(seen):
            return await self._take(seen, is_forced=True)
        if seen is None:
            return await self._begin(held)
        if may_take(seen, self._server, held, is_proven_dead=self._is_dead(seen.role.adopted)):
            return await self._take(seen)
        if seen.role.master != self._server:
            return self._play(part_of(seen.role, self._mend(seen.role, held)))
        if self._has_entries() and is_taken_with(seen.role, self._server, held):
            self._held.write(seen.role.id)
        elif held != seen.role.id:
            return (
                f"the directory's master is {self._server}, in epoch {seen.role.id}, and its entries are of "
                f"{held or 'none'}: `nightmail directory promote --force` on a server that has most of what there was "
                "makes do without the rest, `nightmail directory restore` has a backup"
            )
        return ""

    def _is_forced(self, seen: Sighting | None) -> bool:
        """Whether an operator wants the role to be taken past just this slot, which still is the last one."""
        if self._forced_past is None:
            return False
        if seen is None:
            return self._forced_past == -1
        return seen.slot == self._forced_past and self._age_s(seen) >= wait_s(seen.role, "")

    async def _begin(self, held: str) -> str:
        """There is no role yet: the first master takes it, if it has a directory, and never had a role."""
        if self._may_begin and self._has_entries() and not held:
            return await self._take(None)
        if held:
            return (
                "the log of the directory's master is not in the store: see that it is the right one, and mounted. If "
                "it was lost, `nightmail directory promote --force` where the newest entries are begins a new log"
            )
        return (
            "nobody was ever the directory's master, or the store was lost: `nightmail directory init` on the first "
            "one begins a new directory; where there was one, `nightmail directory promote --force` on who has entries"
        )

    def _mend(self, role: Role, held: str) -> str:
        """What is held, or nothing any more where this shadow does not come to be in sync.

        Its slapd compares everything when it starts: it may lack what it was sent, and take itself to be level. Where
        that does not help, it begins anew.
        """
        now = self._clock.elapsed()
        if self._server not in role.joining:
            self._joining_since, self._mended = now, 0
            return held
        if self._mended == _MENDS or now - self._joining_since <= _JOINS_IN_S * (1 + self._mended):
            return held
        self._mended += 1
        log.warning("directory replica is not in sync", for_s=now - self._joining_since,
                    remedy="none: it is compared with the master, then begins anew")  # fmt: skip
        if self._mended == _MENDS:
            self._held.forget()
            return ""
        self._gate.lose()
        self._replica.start_anew()
        return held

    def _play(self, part: Follow | Reseed) -> str:
        if part.master not in self._servers:
            return f"the directory's master is {part.master}, and the configuration has no replica of that name"
        if isinstance(part, Follow):
            if self._held.read() != part.held:
                self._held.write(part.held)
            self.reseed = None
            self._gate.follow(part)
        elif self.reseed != part or self._replica.state == "running":
            log.warning("directory replica begins anew", master=part.master, epoch=part.epoch,
                        remedy="none: it loads the master's entries, and sets aside what it has")  # fmt: skip
            self.reseed = part
            self._gate.lose()
            self._replica.start_anew()
        self.is_known.set()
        return ""

    async def _take(self, seen: Sighting | None, *, is_forced: bool = False) -> str:
        """Take the role, and keep it for as long as that goes; why the replica can't play it yet, or empty."""
        self.reseed = None
        self.is_known.set()
        if why := await self._gate.why_not_ready():
            return f"this server's replica can't be the master: {why}"
        role = seen.role if seen is not None else None
        slot = seen.slot + 1 if seen is not None else 0
        held = self._held.read()
        ours = successor(
            None if is_forced else role,
            self._adopted(1 + max(role.epoch if role is not None else 0, epoch_in(held))),
            held,
            promise_s=self._lease_s,
            nonce=self._nonce(),
        )
        started = self._clock.elapsed()
        try:
            if not await self._roles.take(slot, ours):
                return ""
        except Fenced:
            return ""
        self._held.write(ours.id)
        log.warning("directory master taken", server=self._server, epoch=ours.epoch, after=role.master if role else "",
                    remedy="none: its replica takes writes next")  # fmt: skip
        self._sighting = Sighting(slot, ours, started, started)
        self._gate.lead(ours.epoch, started + self._lease_s - _MARGIN_S)
        self._spent = [(self._clock.elapsed(), spent) for spent in await self._old_slots(slot)]
        await self._reign()
        return ""

    async def _reign(self) -> None:
        """Renew the role until another has it, or it was handed over."""
        shadows = Shadows(
            self._ours().role.epoch, [name for name in self._servers if name != self._server], self._peers, self._clock,
            changed=self._wanted.set, newest=lambda: self._gate.newest,
            look_every_s=self._lease_s / 4, lag_limit_s=self._lag_limit_s,
        )  # fmt: skip
        minding = asyncio.create_task(shadows.mind())
        try:
            while not await self._hand_over_if_wanted(shadows):
                await self._renew(shadows)
                await self._wait(self._lease_s / 3)
        except Fenced as fence:
            log.warning("directory master lost", reason=str(fence),
                        remedy="none: this replica begins anew with what its successor has")  # fmt: skip
            self._gate.lose()
        finally:
            minding.cancel()
            await asyncio.wait([minding])

    async def _renew(self, shadows: Shadows, *, is_shut: bool = False) -> None:
        """Put the next slot, unless the replica does not answer; one that `is_shut` stays so. Raises: Fenced."""
        ours, now = self._ours(), self._clock.elapsed()
        if now - self._gate.answered_at > self._lease_s:
            if self._replica.pid and now - self._gate.answered_at > 2 * self._lease_s:
                log.error(
                    "directory replica hangs", pid=self._replica.pid, remedy="none: it is killed, and started anew"
                )
                self._replica.start_anew()
                self._gate.answered_at = now
            return
        role = renewed(ours.role, shadows.known, now, self._lease_s, self._nonce())
        try:
            await self._roles.put(ours.slot + 1, role)
        except StoreUnavailable as error:
            self._note(str(error))
            return
        self._note("")
        if not is_shut:
            self._gate.lead(role.epoch, now + self._lease_s - _MARGIN_S)
        if set(role.in_sync) < set(ours.role.in_sync):
            log.warning("directory replicas in sync", servers=", ".join(role.in_sync),
                        remedy="see to the others: without them nobody may take over from this one")  # fmt: skip
        elif role.in_sync != ours.role.in_sync:
            log.info("directory replicas in sync", servers=", ".join(role.in_sync))
        self._sighting = Sighting(ours.slot + 1, role, now, now)
        shadows.note(ours.slot + 1, role)
        await self._delete_spent(ours, now)

    async def _hand_over_if_wanted(self, shadows: Shadows) -> bool:
        """Yield to who wants it, or to anybody where this server stops; whether that was done. Raises: Fenced."""
        ours = self._ours()
        if self._is_stopping:
            await self._yield("", shadows)
            return True
        try:
            wishes = [name for name in await self._roles.wishes(ours.role.epoch) if name in ours.role.in_sync]
        except StoreUnavailable as error:
            self._note(str(error))
            return False
        if not wishes:
            return False
        if await self._yield(wishes[0], shadows):
            return True
        with contextlib.suppress(StoreUnavailable):
            await self._roles.forget_wish(wishes[0], ours.role.epoch)
        return False

    async def _yield(self, to: str, shadows: Shadows) -> bool:
        """Take no more writes, see who has them all, and give the role up; not to one who has not. Raises: Fenced."""
        try:
            await self._gate.shut()
            alike = await self._alike(shadows)
        except DirectoryUnavailable:
            alike = ()
        if to and to not in alike:
            log.warning("directory master not handed over", to=to, reason="it was not seen to have everything",
                        remedy="ask again once it is in sync")  # fmt: skip
            return False
        ours = self._ours()
        role = msgspec.structs.replace(
            ours.role, joining=(), leaving=(), begins=False, is_yielded=True, to=to, alike=alike, nonce=self._nonce()
        )
        try:
            await self._roles.put(ours.slot + 1, role)
        except StoreUnavailable as error:
            self._note(str(error))
            return False
        log.info("directory master given up", to=to or "anybody", alike=", ".join(alike))
        return True

    async def _alike(self, shadows: Shadows) -> tuple[str, ...]:
        """Those in sync that have everything; the role is renewed while they are compared. Raises: Fenced."""
        others = [name for name in self._ours().role.in_sync if name != self._server]
        comparing = {name: asyncio.create_task(self._has_everything(name)) for name in others}
        deadline = self._clock.elapsed() + _HAND_OVER_S
        try:
            while any(not task.done() for task in comparing.values()) and self._clock.elapsed() < deadline:
                await asyncio.wait(comparing.values(), timeout=self._lease_s / 3)
                await self._renew(shadows, is_shut=True)
        finally:
            for task in comparing.values():
                task.cancel()
        return tuple(name for name, task in comparing.items() if task.done() and not task.cancelled() and task.result())

    async def _has_everything(self, name: str) -> bool:
        try:
            return await self._peers.has_everything(name)
        except DirectoryUnavailable:
            return False

    def _ours(self) -> Sighting:
        if self._sighting is None:
            raise RuntimeError("there is no role to keep")
        return self._sighting

    async def _old_slots(self, before: int) -> list[int]:
        with contextlib.suppress(StoreUnavailable):  # they are few, and found by whoever takes the role next
            return await self._roles.spent(before)
        return []

    async def _delete_spent(self, passed: Sighting, now: float) -> None:
        """Delete slots a minute after they were followed; those that begin an epoch stay (J5)."""
        if not passed.role.begins:
            self._spent.append((now, passed.slot))
        due = [slot for since, slot in self._spent if now - since > _KEPT_S]
        if due:
            with contextlib.suppress(StoreUnavailable):
                await self._roles.delete(due)
                self._spent = [(since, slot) for since, slot in self._spent if slot not in set(due)]

    async def _wait(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._wanted.wait()
        if not self._is_stopping:
            self._wanted.clear()

    def _nonce(self) -> str:
        return self._randomness.token(_NONCE_BYTES).hex()

    def _note(self, reason: str) -> None:
        """Keep what is wrong, empty where nothing is; what lasts is said, once a minute."""
        now = self._clock.elapsed()
        if not reason or not self.fault:
            self._since, self._said_at = now, float("-inf")
        self.fault = reason
        if reason and now - self._since > _SHOWS_AFTER * self._lease_s and now - self._said_at > _SAY_AGAIN_S:
            self._said_at = now
            log.error("directory master not kept", reason=reason, for_s=now - self._since,
                      remedy="see the reason; routing goes on meanwhile")  # fmt: skip
