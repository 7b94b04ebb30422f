"""A server's membership in its cluster: heartbeats, the view they make, and the takeovers that follow."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from hashlib import blake2b

import msgspec
import structlog

from nightmail.admin.answers import PeerPicture
from nightmail.config.settings import Config
from nightmail.errors import ConfigInvalid, StoreUnavailable
from nightmail.group.driver import Group
from nightmail.group.heartbeat import Heartbeat, Seal
from nightmail.group.settings import Patience
from nightmail.group.view import Member, View
from nightmail.group.voices import Voices
from nightmail.group.watching import Watcher
from nightmail.net.addresses import HostPort, parse_host_port
from nightmail.store.protocol import Store
from nightmail.supervisor.child import Spawn, SwitchChild
from nightmail.supervisor.namesakes import Namesakes
from nightmail.supervisor.pulse import Pulse
from nightmail.supervisor.takeover import Takeover
from nightmail.switch.liveness import LIVES
from nightmail.world import Clock, Randomness

_ANEW_S = 1.0
_READYING_S = 1.5
_CLOSE_S = 2.0

log = structlog.get_logger()


class Cluster:
    """What a server has to do with the other servers of its site, from `run` until that is cancelled."""

    def __init__(
        self,
        config: Config,
        children: list[SwitchChild],
        *,
        store: Store,
        seal: Seal,
        clock: Clock,
        randomness: Randomness,
        secondary_for: Callable[[int, str], SwitchChild],
        spawn: Spawn,
        give_up: Callable[[ConfigInvalid], None],
    ) -> None:
        """`give_up` ends the server with that line, where it can't take part."""
        name = config.server.name
        members = _members(config)
        lease_s = config.store.lease_s
        self._config = config
        self._name = name
        self._store = store
        self._clock = clock
        self.pulse = Pulse(name, children, clock, lease_s, _digest(config))
        self._takeover = Takeover(
            name, children, self.pulse, clock,
            secondary_for=secondary_for, spawn=spawn, patience_s=config.server.stop_timeout_s,
        )  # fmt: skip
        peers = [server for server in members if server != name]
        self._voices = Voices(
            name, randomness.token(8).hex(), seal,
            own=_heartbeat_of(config, name),
            peers={peer: _heartbeat_of(config, peer) for peer in peers},
            heard=self._heard,
            refused=self._refused,
        )  # fmt: skip
        view = View(name, members[name].group, Patience(lease_s=lease_s), members)
        self._watcher = Watcher(store, randomness, name)
        namesakes = Namesakes(
            name, os.path.join(config.server.run_directory, LIVES), lambda: self._group.view.here, give_up
        )
        self._group = Group(
            view, store, self._watcher,
            speaker=self._voices, hands=self._takeover, clock=clock, met_namesake=namesakes.met,
        )  # fmt: skip
        self._peers = peers

    async def open(self) -> None:
        """Take the heartbeat's address. Raises: ConfigInvalid: it can't be had."""
        try:
            await self._voices.open()
        except OSError as error:
            place = f"[servers.{self._name}] heartbeat"
            wrong = f"{self._config.servers[self._name].heartbeat} can't be bound: {error.strerror or error}"
            raise ConfigInvalid(place, wrong, "name an address of this host that no other program has") from error

    async def run(self) -> None:
        """Take part until cancelled; an error that nobody foresaw begins that anew, and never ends the mail."""
        while True:
            try:
                async with asyncio.TaskGroup() as work:
                    for task in (self._sweep(), self._voices.keep_resolved(), self.pulse.run(), self._takeover.run()):
                        work.create_task(task)
                    await self._group.run()
            except* Exception as errors:
                log.critical("cluster work failed", exc_info=errors, remedy="it is begun anew; report this")
            await asyncio.sleep(_ANEW_S)

    async def _sweep(self) -> None:
        """Delete the probes of earlier lives."""
        try:
            await self._watcher.sweep()
        except StoreUnavailable as error:
            log.info("old probes not swept", reason=str(error))

    def leave(self, state: str) -> None:
        """Say that this server drains or stops, and adopt nothing any more. It goes on to say so until `close`."""
        self.pulse.state = state
        self._takeover.is_stopping = True
        self._group.drain()

    async def hand_over(self, queue: str) -> bool:
        """Give up a queue that was adopted, for another server to have; whether it was run here.

        Raises: SwitchSilent, RequestFailed.
        """
        if not self._takeover.is_adopted_here(queue):
            return False
        self._group.hand_over(queue)
        return await self._takeover.hand_over(queue)

    async def until_partners_are_ready(self) -> None:
        """Give partners that heard it the time to start a secondary switch and to read: until then we deliver."""
        if any(peer.state == "serving" for peer in self.peers()):
            await asyncio.sleep(_READYING_S)

    async def close(self) -> None:
        """Say nothing any more, and let go of the store, within a bound. `run` has ended."""
        self._voices.close()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._store.close()
        except TimeoutError:
            log.warning("store not let go of", reason="it does not answer", remedy="none: this process ends")

    def _heard(self, beat: Heartbeat) -> None:
        known = self._group.view.peers.get(beat.server)
        if beat.config != self.pulse.config and (known is None or known.config != beat.config):
            log.warning("configurations differ", peer=beat.server,
                        remedy="give all servers the same [servers], [directory], lease_s and idle_tick_s")  # fmt: skip
        self._group.heard(beat)

    def _refused(self, peer: str) -> None:
        self._group.refused(peer)

    def partners_are_well(self) -> bool:
        """Whether another server that takes mail is heard, serves, and none of its switches is silent or cut off."""
        view, now = self._group.view, self._clock.elapsed()
        return any(
            peer.state == "serving" and not peer.ailing and view.is_heard(server, now)
            for server, peer in view.peers.items()
            if server in self._config.servers and self._config.servers[server].smtp
        )

    def peers(self) -> list[PeerPicture]:
        """The other servers, as they were heard last."""
        view, now = self._group.view, self._clock.elapsed()
        found = []
        for server in self._peers:
            peer = view.peers.get(server)
            if peer is None:
                found.append(PeerPicture(server=server))
                continue
            state = peer.state if view.is_heard(server, now) else "silent"
            found.append(PeerPicture(server=server, state=state, heartbeat_age_s=round(now - peer.heard_at, 3)))
        return found


def _members(config: Config) -> dict[str, Member]:
    """The servers of our site: a store is never shared beyond it."""
    site = config.servers[config.server.name].site
    ours = [name for name, entry in config.servers.items() if entry.site == site]
    return {name: Member(name, config.group_of(name)) for name in ours}


def _heartbeat_of(config: Config, server: str) -> HostPort:
    try:
        return parse_host_port(config.servers[server].heartbeat)
    except ValueError as error:
        raise ConfigInvalid(f"[servers.{server}] heartbeat", str(error)) from error


def _digest(config: Config) -> str:
    """Tells whether two servers have the same idea of their cluster."""
    what: list[object] = [config.servers, config.store.lease_s, config.store.idle_tick_s]
    if config.directory is not None:  # two masters would both take writes
        what += [config.master, config.directory.suffix, config.directory.topology, config.directory.masters]
    return blake2b(msgspec.json.encode(what, order="sorted"), digest_size=8).hexdigest()
