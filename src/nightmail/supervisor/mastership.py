"""A server's part in the role of the directory's master: watch its log, take it where it falls free, keep it, yield it.

The log in the store is the judge, as it is of queues. A master renews its role with a slot every third of the lease as
long as its replica answers; where the log stands still for its last promise, another that is in sync takes it. Who lost
the role without having handed it over begins anew with what its successor has.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

import structlog

from nightmail.directory.role import (
    Follow,
    Reseed,
    Role,
    Sighting,
    epoch_in,
    is_at_rest,
    is_taken_with,
    may_take,
    part_of,
    successor,
)
from nightmail.directory.role_log import RoleLog
from nightmail.errors import ConfigInvalid, Fenced, StoreUnavailable
from nightmail.journal.records import Adopted
from nightmail.supervisor.gate import Gate
from nightmail.supervisor.reign import HAND_OVER_S, MARGIN_S, Bell, Means, Reign, Replica, Terms
from nightmail.supervisor.shadows import Peers
from nightmail.world import Clock, Randomness

_SAY_AGAIN_S = 60.0
_SHOWS_AFTER = 2  # leases: a look that fails once is no fault
_JOINS_IN_S = 60.0
_MENDS = 2

log = structlog.get_logger()


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
        self._terms = terms
        self._means = Means(roles, replica, gate, peers, clock, randomness)
        self._server, self._servers = terms.server, terms.servers
        self._may_begin = terms.is_first
        self._lease_s = terms.lease_s
        self._roles = roles
        self._held = held
        self._replica = replica
        self._gate = gate
        self._clock = clock
        self._adopted = adopted
        self._is_dead = is_dead
        self._has_entries = has_entries
        self._sighting: Sighting | None = None
        self._reign: Reign | None = None
        self._bell = Bell()
        self._forced_past: int | None = None
        self._has_looked = False
        self._joining_since = clock.elapsed()
        self._mended = 0
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
        """The role as it was last seen; None where that can't be told."""
        seen = self._last
        return seen.role if seen is not None and not seen.unread else None

    @property
    def _last(self) -> Sighting | None:
        """The last slot, as it was last seen."""
        return self._reign.sighting if self._reign is not None else self._sighting

    async def run(self) -> None:
        """Until `stop`."""
        pause_s = min(self._lease_s / 8, 1.0)
        while not self._bell.is_stopping:
            try:
                self._note(await self._turn())
            except (StoreUnavailable, OSError) as error:
                self._note(str(error))
            except Exception as error:  # whatever it is, the log is looked at again
                log.exception("directory master not kept", reason=str(error), remedy="none: report this")
            await self._bell.wait(pause_s)

    def stop(self) -> None:
        """Hand the role over, if it is ours, and end."""
        self._bell.stop()

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
        seen = self._last
        if seen is not None and not await self._stood_still(seen):
            wrong = f"{seen.role.master or 'another server'} keeps the role, or another has it"
            raise ConfigInvalid("[directory]", wrong, "without --force it is handed over; stop that server if it hangs")
        self._forced_past = seen.slot if seen is not None else -1
        self._bell.ring()
        try:
            return await self._until_master()
        finally:
            self._forced_past = None

    async def _stood_still(self, seen: Sighting) -> bool:
        """Wait until the log stood still for all promises there may be; whether it did."""
        while (now := self._last) is not None and now.slot == seen.slot:
            if is_at_rest(now, self._lease_s):
                return True
            await asyncio.sleep(MARGIN_S)
        return False

    async def _until_master(self) -> bool:
        deadline = self._clock.elapsed() + HAND_OVER_S + 2 * self._lease_s
        while self._clock.elapsed() < deadline:
            if self.role is not None and self.role.master == self._server and self._gate.is_open:
                return True
            await asyncio.sleep(MARGIN_S)
        return False

    async def _turn(self) -> str:
        """Look at the log once, and be what it says; what is wrong, or empty."""
        self._sighting = seen = await self._roles.look(self._sighting)
        self._has_looked = True
        held = self._held.read() if self._has_entries() else ""
        if self._is_forced(seen):
            return await self._take(seen, is_forced=True)
        if seen is None or seen.unread:
            return await self._begin(seen.fault if seen is not None else "", held)
        if may_take(seen, self._server, held, is_proven_dead=self._is_dead(seen.role.adopted)):
            return await self._take(seen)
        if seen.role.master != self._server:
            return self._play(seen.role, held)
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
        return seen.slot == self._forced_past and is_at_rest(seen, self._lease_s)

    async def _begin(self, fault: str, held: str) -> str:
        """There is no role yet: the first master takes it, if it has a directory, and never had a role.

        A `fault` is why it is not known whose it is: then nobody takes it by himself.
        """
        if fault:
            return (
                f"{fault}; who is the directory's master is not known until that one writes the next slot. If none "
                "does, `nightmail directory promote --force` on the server with the newest entries takes the role"
            )
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

    def _play(self, role: Role, held: str) -> str:
        if held != role.id and epoch_in(held) >= role.epoch:
            return _of_another_log(role, held)
        part = part_of(role, self._mend(role, held))
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
            self._adopted(1 + max(seen.epoch if seen is not None else 0, epoch_in(held))),
            held if epoch_in(held) else "",  # what is void is no epoch to go on from
            promise_s=self._lease_s,
            nonce=self._means.nonce(),
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
        self._gate.lead(ours.epoch, started + self._lease_s - MARGIN_S)
        await self._rule(Sighting(slot, ours, started, started))
        return ""

    async def _rule(self, ours: Sighting) -> None:
        self._sighting = ours
        spent = list[int]()
        with contextlib.suppress(StoreUnavailable):  # they are few, and found by whoever takes the role next
            spent = await self._roles.spent(ours.slot)
        self._reign = reign = Reign(self._terms, self._means, ours, bell=self._bell, note=self._note, spent=spent)
        try:
            await reign.run()
        finally:
            self._reign, self._sighting = None, reign.sighting

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


def _of_another_log(role: Role, held: str) -> str:
    """Why a replica does not begin anew: epochs only grow, so that it may have what no other one has any more."""
    return (
        f"the entries of this server's replica are of epoch {held}, and the log of the directory's master is in "
        f"{role.id} of {role.master}: the store was lost, or is another one, or a `restore` here did not end. To keep "
        f"what is here, stop {role.master}, then `nightmail directory promote --force` here; to have what that one "
        "has, stop this server, `nightmail directory reseed`, and start it"
    )
