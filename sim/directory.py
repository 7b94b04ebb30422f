"""The directory's master role in virtual time: the code that is shipped decides, the replicas are simulated.

Supervisors and slapds are processes of their own: each can be frozen or killed alone.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial

from nightmail.directory.comparing import Seen
from nightmail.directory.confirming import confirmed, look
from nightmail.directory.role import Role
from nightmail.directory.role_log import RoleLog, roles_in
from nightmail.errors import DirectoryUnavailable
from nightmail.journal.records import Adopted
from nightmail.supervisor.gate import Gate
from nightmail.supervisor.mastership import Mastership
from nightmail.supervisor.reign import Terms
from sim.loop import until
from sim.process import Process
from sim.slapd import Entry, Ledger, Slapd, Wire
from sim.store import Objects, SimulatedStore
from sim.store_faults import Chaos
from sim.world import SeededRandomness, VirtualClock

LEASE_S = 1.0
_RESEED_S = 0.2


class Peers:
    """What one server sees of the others' replicas (`shadows.Peers`)."""

    def __init__(self, world: World, own: str) -> None:
        self._world = world
        self._slapds = world.slapds
        self._own = own

    async def see(self, server: str) -> Seen:
        """See `Peers.see`."""
        return await self._slapds[server].see(self._own)

    async def has_everything(self, server: str) -> bool:
        """See `Peers.has_everything`."""
        ours, level = await self._slapds[self._own].copy(self._own)
        await asyncio.sleep(self._world.comparing_takes_s)
        theirs, their_level = await self._slapds[server].copy(self._own)
        return (
            their_level >= level
            and ours.keys() >= theirs.keys()
            and all(name in theirs and theirs[name].csn >= entry.csn for name, entry in ours.items())
        )


class Server:
    """A server over its lives: a supervisor with its part in the role, and the replica."""

    def __init__(self, world: World, name: str, number: int, *, is_first: bool, rate: float) -> None:
        self.name = name
        self.clock = VirtualClock(rate)
        self.clock.wall_error_s = (1 - rate) * asyncio.get_running_loop().time()  # the times of day begin alike
        self.slapd = Slapd(world, name, self.clock)
        self.store = SimulatedStore(world.objects, chaos=world.chaos)
        self.supervisor = Process(name)
        self.is_alive = False
        self.life = 0
        self.mastership: Mastership | None = None
        self._world = world
        self._number = number
        self._is_first = is_first
        self._wanted_anew = asyncio.Event()

    def start(self) -> None:
        """Begin a new life."""
        self.life += 1
        self.is_alive = True
        self.supervisor = Process(f"supervisor {self.life} of {self.name}")
        self.supervisor.task(self._live())

    async def crash(self) -> None:
        """Die, with the replica."""
        self.is_alive = False
        await self.supervisor.kill()
        await self.slapd.kill()

    async def stop(self) -> None:
        """End in good order."""
        if self.mastership is not None:
            self.mastership.stop()
        await asyncio.sleep(5 * LEASE_S)
        await self.crash()

    async def _live(self) -> None:
        world, life = self._world, self.life
        randomness = SeededRandomness(1000 * self._number + life)
        self._wanted_anew = asyncio.Event()
        self.slapd.reseed = self._wanted_anew.set
        uris = {name: name for name in world.slapds}
        gate = Gate(self.name, uris, self.slapd, self.slapd, self.clock, look_every_s=LEASE_S / 4)
        self.slapd.started = gate.look_again
        self.mastership = Mastership(
            Terms(self.name, uris, self._is_first, LEASE_S, lag_limit_s=2 * LEASE_S),
            roles=world.role_log(self.store, self.clock),
            held=self.slapd,
            replica=self.slapd,
            gate=gate,
            peers=Peers(world, self.name),
            clock=self.clock,
            randomness=randomness,
            adopted=lambda epoch: Adopted(epoch, self.name, f"{self.name}-{life}", "", "", ""),
            is_dead=lambda adopted: world.is_dead(adopted, life, self.name),
            has_entries=lambda: bool(self.slapd.entries),
        )
        deciding = asyncio.create_task(self.mastership.run())
        gating = asyncio.create_task(gate.run())
        await self.mastership.is_known.wait()
        running = asyncio.create_task(self._run_slapd())
        await asyncio.gather(deciding, gating, running)

    async def _run_slapd(self) -> None:
        """As `ReplicaChild` does: prepare it, start it, and again when it is gone or wanted anew."""
        while True:
            self._wanted_anew.clear()
            if await self._prepare():
                self.slapd.start()
                pid = self.slapd.pid
                await until(partial(self._is_over, pid), within_s=float("inf"), step_s=0.05)
                await self.slapd.kill()
            await asyncio.sleep(0.05)

    def _is_over(self, pid: int) -> bool:
        return self.slapd.pid != pid or self._wanted_anew.is_set()

    async def _prepare(self) -> bool:
        """Begin anew with what the master has, where that is wanted; whether the replica may start."""
        if self.mastership is None or (wanted := self.mastership.reseed) is None:
            return True
        try:
            whole, level = await self._world.slapds[wanted.master].copy(self.name)
        except DirectoryUnavailable:
            return False
        await asyncio.sleep(_RESEED_S)
        self.slapd.entries, self.slapd.level = whole, level
        self.slapd.write(wanted.held)
        return True


class World:
    """Servers `mx1` to `mx<count>` and their writers, all by one chance."""

    def __init__(self, count: int, chance: random.Random, chaos: Chaos | None = None) -> None:
        self.objects = Objects()
        self.chaos = chaos
        self.wire = Wire(chance)
        self.comparing_takes_s = 0.0
        self.ledger = Ledger()
        self.role_log: Callable[[SimulatedStore, VirtualClock], RoleLog] = RoleLog
        names = [f"mx{number}" for number in range(1, count + 1)]
        self.slapds: dict[str, Slapd] = {}
        self.servers = {
            name: Server(self, name, number, is_first=number == 0, rate=chance.uniform(0.98, 1.02))
            for number, name in enumerate(names)
        }
        self.slapds.update({name: server.slapd for name, server in self.servers.items()})
        first = self.slapds["mx1"]
        first.entries["top"] = Entry("20230101000000.000000Z#000000#001#000000", {})
        self.clock = VirtualClock()
        self.roles = RoleLog(SimulatedStore(self.objects, chaos=chaos), self.clock)
        self.answered: set[str] = set()
        """The entries of which a master said that it had taken a change."""
        self.outcomes: dict[str, int] = {"acknowledged": 0, "unknown": 0, "refused": 0}

    def is_dead(self, adopted: Adopted, life: int, server: str) -> bool:
        """Proof of death: only a server's own earlier life, whose machine it shares."""
        return adopted.owner == server and adopted.incarnation != f"{server}-{life}"

    def epoch(self) -> int:
        """The newest epoch of the role, whoever knows of it."""
        role = self.role()
        return role.epoch if role is not None else 0

    def role(self) -> Role | None:
        """The role as its log has it."""
        return next(reversed(roles_in(self.objects.contents)), None)

    async def write(self, name: str, writer: str, number: int) -> bool:
        """Change an entry as an operator does; whether that was acknowledged."""
        self.ledger.attempt(name, number)
        try:
            role = (await look(self.roles)).role
            csn = await self.slapds[role.master].change(name, writer, number)
        except DirectoryUnavailable:
            self.outcomes["refused"] += 1
            return False
        self.answered.add(name)

        async def lack(server: str, role: Role) -> str:
            return await self._lack(server, role, name, csn, is_gone=number < 0)

        try:
            await confirmed(self.roles, role, lack, self.clock)
        except DirectoryUnavailable:
            self.outcomes["unknown"] += 1
            return False
        self.outcomes["acknowledged"] += 1
        self.ledger.note(name, writer, number)
        return True

    async def _lack(self, server: str, role: Role, name: str, csn: str, *, is_gone: bool = False) -> str:
        """As `admin.mastering` looks: the entry first, then what its replica is."""
        if why := await self.lacks_entry(server, name, csn, is_gone=is_gone):
            return why
        try:
            seen = await self.slapds[server].see("")
        except DirectoryUnavailable as error:
            return str(error)
        return "" if seen.epoch == role.epoch and not seen.is_open else "it does not follow this master"

    async def lacks_entry(self, server: str, name: str, csn: str, *, is_gone: bool) -> str:
        """Why a change is not seen at a replica; empty if it is."""
        try:
            entries, level = await self.slapds[server].copy("")
        except DirectoryUnavailable as error:
            return str(error)
        entry = entries.get(name)
        is_there = level >= csn and (entry is None if is_gone else entry is not None and entry.csn >= csn)
        return "" if is_there else "it is behind"
