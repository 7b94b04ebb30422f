"""The replica of a server where the master's role moves: what decides about it, put together and run."""

from __future__ import annotations

import asyncio
import os

import structlog

from nightmail.admin.own_replica import replica_of
from nightmail.admin.replicas import access_of, directory_of, uri_of
from nightmail.admin.whole_content import moment
from nightmail.config.settings import Config
from nightmail.directory.copying import copy_of, until_stopped
from nightmail.directory.held import MASTER, Held
from nightmail.directory.managing import Manager, ManagerThread
from nightmail.directory.replica import Replica
from nightmail.directory.role import Role
from nightmail.directory.role_log import RoleLog
from nightmail.directory.slapd import Installation, drop_archives, find_installation, has_entries, is_damaged, load
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.journal.records import Adopted
from nightmail.store.opening import open_store
from nightmail.supervisor.gate import Gate
from nightmail.supervisor.mastership import Mastership
from nightmail.supervisor.peers import ReplicaPeers
from nightmail.supervisor.reign import Terms
from nightmail.supervisor.replica import ReplicaChild
from nightmail.switch.liveness import LIVES, LifeLock, Machine
from nightmail.world import Clock, Randomness

_YIELD_S = 40.0
_TOKEN_BYTES = 8
_ARCHIVES_KEPT = 2
_LEAST_TIMEOUT_S = 0.25

log = structlog.get_logger()


class MovingRole:
    """Of one server. `replica` is the place of its slapd."""

    def __init__(self, config: Config, replica: ReplicaChild, clock: Clock, randomness: Randomness) -> None:
        """To be made within the event loop.

        Raises:
            ConfigInvalid: the secret is none, or slapd is not installed.
            OSError: the replica's directory can't be written.
        """
        server, lease_s = config.server.name, config.store.lease_s
        own = replica_of(config, find_installation())
        [entries] = own.databases
        timeout_s = max(_LEAST_TIMEOUT_S, lease_s / 3)
        incarnation = randomness.token(_TOKEN_BYTES).hex()
        self._config = config
        self._clock = clock
        self._replica = replica
        self._machine = Machine.this()
        self._life = LifeLock(os.path.join(config.server.run_directory, LIVES, f"directory-{incarnation}"))
        self._store = open_store(config.store.url, randomness)
        self._held = Held(entries.path)
        uris = {name: uri_of(config, name) for name in config.replicas}
        access = self._access = access_of(directory_of(config), "replicator", own.tls.authority)
        manager = ManagerThread(Manager(own, timeout_s))
        self._peers = ReplicaPeers(server, uris, access)
        self.gate = Gate(server, uris, replica, manager, clock, look_every_s=lease_s / 4)
        self._mastership = Mastership(
            Terms(server, uris, server == config.master, lease_s, directory_of(config).lag_limit_s),
            roles=RoleLog(self._store, clock), held=self._held, replica=replica, gate=self.gate, peers=self._peers,
            clock=clock, randomness=randomness,
            adopted=lambda epoch: Adopted(epoch, server, incarnation, *self._machine, self._life.path),
            is_dead=self._machine.is_proven_dead,
            has_entries=lambda: has_entries(entries) and not is_damaged(entries),
        )  # fmt: skip

    @property
    def role(self) -> Role | None:
        """The role as its log was last seen to have it."""
        return self._mastership.role

    @property
    def fault(self) -> str:
        """Why this server can't tell what it is, or empty."""
        return self._mastership.fault

    async def promote(self, *, is_forced: bool) -> bool:
        """Have the role handed over to this server, or taken, if that `is_forced`; whether it has it now.

        Raises:
            ConfigInvalid: it can't be had.
            StoreUnavailable: the store is out of reach.
        """
        if is_forced:
            return await self._mastership.force()
        return await self._mastership.promote()

    async def run(self) -> None:
        """Be what the log says, until cancelled; whoever is the master then hands the role over first."""
        deciding = asyncio.create_task(self._mastership.run())
        others = [asyncio.create_task(self.gate.run()), asyncio.create_task(self._run_replica())]
        try:
            await asyncio.wait([deciding, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._mastership.stop()
            await asyncio.wait([deciding], timeout=_YIELD_S)
            for task in (deciding, *others):
                task.cancel()
            ended = await asyncio.gather(deciding, *others, return_exceptions=True)
            self._peers.close()
            await self._store.close()
            for error in ended:
                if isinstance(error, Exception):
                    log.critical(
                        "directory's role not minded", exc_info=error, remedy="restart the server; report this"
                    )

    async def _run_replica(self) -> None:
        """Not before it is known what it is to be: what it had may be out of date."""
        await self._mastership.is_known.wait()
        await self._replica.run()

    def make_ready(self, replica: Replica, installation: Installation) -> None:
        """Have the replica, which does not run, begin anew where it has to. Blocks.

        Raises:
            ConfigInvalid: slapd refuses what the master has.
            DirectoryUnavailable: the master is out of reach.
            OSError: it can't be written.
        """
        [entries] = replica.databases
        Held(entries.path, MASTER).forget()
        wanted = self._mastership.reseed
        if wanted is None:
            return
        if wanted.master not in self._config.replicas:
            raise ConfigInvalid(self._config.path, f"{wanted.master} is no server with a replica", "it is the master")
        source = copy_of(uri_of(self._config, wanted.master), entries.base, self._access)
        try:
            source = until_stopped(source, self._replica.stopping)
            archive = load(replica, entries, installation, source, moment(self._clock), held=wanted.held)
        except DirectoryUnavailable as error:
            right = "start that server; if it is lost for good, `nightmail directory promote --force` here"
            wrong = f"this replica has to begin with what {wanted.master} has, and can't be had ({error})"
            raise DirectoryUnavailable(f"{wrong}: {right}") from error
        drop_archives(entries, _ARCHIVES_KEPT)
        log.info("directory replica began anew", master=wanted.master, epoch=wanted.epoch, set_aside=archive)
