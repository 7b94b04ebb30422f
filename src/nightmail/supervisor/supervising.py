"""A whole server: takes what it needs from the machine, gives up root, runs its switches until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

import structlog

from nightmail import __version__
from nightmail.admin.answers import DirectoryPicture
from nightmail.admin.http import operator_app, public_app
from nightmail.admin.operating import Admin
from nightmail.admin.serving import HttpServer
from nightmail.admin.socket import bind_admin_socket
from nightmail.config.settings import Config
from nightmail.errors import ConfigInvalid
from nightmail.net.control import RequestFailed, SwitchSilent
from nightmail.submission import DropDirectory
from nightmail.supervisor.child import Spawn, SwitchChild
from nightmail.supervisor.cluster import Cluster
from nightmail.supervisor.departure import Departing, Departure
from nightmail.supervisor.launching import Launch
from nightmail.supervisor.listening import bind_ports, listen_on
from nightmail.supervisor.privileges import Identity, group_id, raise_open_files_limit
from nightmail.supervisor.run_directory import RunDirectory, own_directory
from nightmail.supervisor.spare import Spare
from nightmail.supervisor.tables import Announce, Reloads
from nightmail.supervisor.watchdog import Watchdog
from nightmail.world import Clock

_RELOAD_TIMEOUT_S = 30.0

Join = Callable[[list[SwitchChild], Spawn, Callable[[ConfigInvalid], None]], Cluster]

log = structlog.get_logger()


class Directory(Protocol):
    """The directory as the supervisor needs it."""

    async def run(self) -> None:
        """Run this server's replica, if it has one, until cancelled."""
        ...

    def picture(self) -> DirectoryPicture:
        """How it stands."""
        ...

    async def promote(self, is_forced: bool) -> bool:
        """Have this server take writes to it; whether it does now. Raises: ConfigInvalid, StoreUnavailable."""
        ...


class Grounds:
    """What a server takes from the machine before it runs: the directory, the ports, the user."""

    def __init__(self, config: Config, owned_directories: Iterable[str] = ()) -> None:
        """Take it all, in the order that root requires.

        `owned_directories` are made if need be, for the user the server runs as.

        Raises:
            ConfigInvalid: the machine does not give it.
        """
        addresses = [listener.address for listener in config.listeners]
        http = config.servers[config.server.name].http if config.server.name in config.servers else ""
        self.switches = config.server.workers or len(os.sched_getaffinity(0))
        identity = Identity(config.server.user, addresses)
        self.open_files = raise_open_files_limit()
        self.run_directory = RunDirectory(config.server.run_directory)
        self.run_directory.take()
        self.ports = bind_ports(addresses, self.switches)
        own = bind_ports([http] if http else [], 1)
        listen_on(own)
        self.http: socket.socket | None = own.listeners[0][0] if http else None
        self._prepare_directories(config, identity, owned_directories)
        identity.assume()
        self.admin = self._bind_admin()

    def _bind_admin(self) -> socket.socket:
        path = self.run_directory.path
        try:
            return bind_admin_socket(path)
        except OSError as error:
            remedy = "let the server's user enter and write it"
            raise ConfigInvalid("[server] run_directory", f"{path}: {os.strerror(error.errno or 0)}", remedy) from error

    def _prepare_directories(self, config: Config, identity: Identity, owned: Iterable[str]) -> None:
        drop, group = config.submission.drop_directory, config.submission.group
        try:
            self.run_directory.give_to(identity.uid, identity.gid)
            DropDirectory(drop).prepare(identity.uid, group_id(group) if group else identity.gid)
            for directory in owned:
                if not os.path.isdir(directory):
                    own_directory(directory, identity.uid, identity.gid)
        except OSError as error:
            place = error.filename or self.run_directory.path
            raise ConfigInvalid(
                str(place), os.strerror(error.errno or 0), "name a directory we may write to"
            ) from error


class Supervisor:
    """Runs the switches of one server, and answers the operator."""

    def __init__(
        self,
        config: Config,
        grounds: Grounds,
        launch: Launch,
        keep_routing: Callable[[Announce], Reloads],
        clock: Clock,
        *,
        join: Join | None = None,
        spare: Spare | None = None,
        directory: Directory | None = None,
    ) -> None:
        """`launch` starts a switch, by `spare` where it can; `join` makes the membership in a cluster of several.

        `keep_routing` makes what keeps the routing in force; `directory` is what it has to do with one.
        """
        self._config = config
        self._grounds = grounds
        self._stop_wanted = asyncio.Event()
        self._is_hurried = asyncio.Event()
        self._fault: ConfigInvalid | None = None
        self._background: set[asyncio.Task[Any]] = set()
        self._children: list[SwitchChild] = [
            SwitchChild(number, launch, listeners, clock, may_give_up=self._is_at_first_start)
            for number, listeners in enumerate(grounds.ports.listeners)
        ]
        self._runs: list[asyncio.Task[int]] = []
        self._leaving: asyncio.Task[None] | None = None
        self._departure = Departure(config.server.name, config.balancer)
        self._spare = spare
        self._reserve: asyncio.Task[None] | None = None
        self._taking_part: asyncio.Task[None] | None = None
        self._cluster = join(self._children, self._start, self._give_up) if join is not None else None
        self._directory = directory
        self._reloads = keep_routing(self._announce_tables)
        self._admin = Admin(
            config.server.name,
            self._children,
            clock,
            peers=self._cluster.peers if self._cluster is not None else list,
            reload=self._reloads.reload,
            tables_fault=lambda: self._reloads.fault,
            awaited=lambda: self._reloads.awaited,
            drain=self.drain,
            hand_over=self._cluster.hand_over if self._cluster is not None else None,
            leaving=lambda: self._departure.state,
            directory=directory.picture if directory is not None else lambda: None,
            promote=directory.promote if directory is not None else None,
            partners_are_well=self._cluster.partners_are_well if self._cluster is not None else lambda: False,
        )

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; the exit code.

        Raises:
            ConfigInvalid: the tables are wrong, an address can't be had, or another host has our name.
        """
        directory = self._start(self._directory.run()) if self._directory is not None else None
        http = self._start_http()
        try:
            with self._signals():
                code = await self._serve() if await self._has_routing() else 0
        finally:
            for server in http:
                await server.close()
        if self._cluster is not None and self._taking_part is not None:
            self._taking_part.cancel()
            await asyncio.wait([self._taking_part])
            await self._cluster.close()
        for task in list(self._background):
            if task is not directory:
                task.cancel()
        if directory is not None:  # last: until now it was asked where mail goes
            directory.cancel()
            await asyncio.wait([directory])
        self._grounds.run_directory.leave()
        log.info("server stopped", server=self._config.server.name)
        if self._fault is not None:
            raise self._fault
        return code

    async def _has_routing(self) -> bool:
        """Wait until some is in force, or whoever waits is asked to stop.

        Raises:
            ConfigInvalid: none can be.
        """
        loop = asyncio.get_running_loop()
        routed = loop.create_task(self._reloads.compile_first())
        stopped = loop.create_task(self._stop_wanted.wait())
        await asyncio.wait([routed, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if routed.done():
            routed.result()
            return True
        routed.cancel()
        await asyncio.wait([routed])
        return False

    async def _serve(self) -> int:
        """Run the switches until it is time to stop; the exit code.

        Raises:
            ConfigInvalid: the heartbeat's address can't be had, or somebody listens at ours.
        """
        listen_on(self._grounds.ports)
        if self._cluster is not None:
            await self._cluster.open()
        log.info("server started", server=self._config.server.name, version=__version__, pid=os.getpid(),
                 switches=len(self._children), open_files=self._grounds.open_files)  # fmt: skip
        self._start(self._reloads.watch())
        self._runs = [self._start(child.run()) for child in self._children]
        self._start(self._departure.arrive())
        self._start(Watchdog(self._children).run())
        if self._spare is not None:
            self._reserve = self._start(self._spare.run())
        self._start(self._stop_if_one_gives_up())
        if self._cluster is not None:
            self._taking_part = self._start(self._cluster.run())
        await self._stop_wanted.wait()
        return await self._stop()

    def _start_http(self) -> list[HttpServer]:
        servers = [HttpServer(operator_app(self._admin), self._grounds.admin)]
        if self._grounds.http is not None:
            servers.append(HttpServer(public_app(self._admin), self._grounds.http))
        for server in servers:
            server.start()
        return servers

    @contextlib.contextmanager
    def _signals(self) -> Any:
        loop = asyncio.get_running_loop()
        handlers: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTERM: self._asked_to_stop,
            signal.SIGINT: self._asked_to_stop,
            signal.SIGHUP: self._asked_to_reload,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _asked_to_stop(self) -> None:
        if self._stop_wanted.is_set():
            log.warning("asked to stop again: not waiting any longer")
            self._end_all("asked to stop again")
            self._is_hurried.set()
        self._stop_wanted.set()

    def _give_up(self, fault: ConfigInvalid) -> None:
        log.critical("server gives up", reason=str(fault))
        self._fault = fault
        self._stop_wanted.set()

    def _asked_to_reload(self) -> None:
        self._start(self._reload_on_request())

    async def drain(self) -> None:
        """Take no new mail, end what is under way, and give every queue up; the server itself goes on (R11).

        Raises:
            RequestFailed: there is nothing to be given up, since no switch was started yet.
        """
        if not self._runs:
            raise RequestFailed(f"{self._config.server.name} has not started its switches yet, and can just be stopped")
        if self._leaving is None:
            self._leaving = self._start(self._leave("draining"))
        await asyncio.shield(self._leaving)

    async def _stop(self) -> int:
        """Leave; the exit code of the server."""
        if self._leaving is None:
            self._leaving = self._start(self._leave("stopping"))
        await self._leaving
        return max(await asyncio.gather(*self._runs))

    async def _leave(self, state: Departing) -> None:
        """Have the balancer send clients elsewhere, the switches settle and end; kill those that take too long."""
        patience_s = self._config.server.stop_timeout_s
        event = "server draining" if state == "draining" else "server stopping"
        log.info(event, server=self._config.server.name, patience_s=patience_s)
        if self._reserve is not None:  # who leaves starts nothing any more
            self._reserve.cancel()
        if self._cluster is not None:
            self._cluster.leave(state)
        if self._fault is None:
            await self._departure.begin(state)
        else:  # the balancer knows our name as another host's, which goes on
            self._departure.state = state
        if self._cluster is not None:
            await self._unless_hurried(self._cluster.until_partners_are_ready())
        leaving = list(self._children)
        for child in leaving:
            self._start(child.stop(patience_s))
        _, late = await asyncio.wait([self._start(child.ended()) for child in leaving], timeout=patience_s)
        if late:
            self._end_all("it did not stop in time")
            await asyncio.wait(late)
        log.info("queues given up", server=self._config.server.name)

    async def _unless_hurried(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for the end of something, or for somebody who does not want to."""
        waiting = {self._start(work), self._start(self._is_hurried.wait())}
        _, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()

    def _end_all(self, reason: str) -> None:
        for child in self._children:
            child.end(reason)

    def _is_at_first_start(self) -> bool:
        return not any(child.has_served for child in self._children)

    async def _stop_if_one_gives_up(self) -> None:
        """A switch that can't work with the configuration ends a server that never worked with it."""
        await asyncio.wait(self._runs, return_when=asyncio.FIRST_COMPLETED)
        if not self._stop_wanted.is_set() and not self._departure.state:
            log.error("server gives up: a switch can't work as it is configured")
            self._stop_wanted.set()

    async def _reload_on_request(self) -> None:
        with contextlib.suppress(ConfigInvalid):  # it has been logged
            await self._reloads.reload()

    async def _announce_tables(self) -> None:
        """Have every switch that runs swap in the tables; one that starts later loads them by itself."""
        running = [child for child in self._children if child.pid]
        await asyncio.gather(*map(self._announce_to, running))

    async def _announce_to(self, child: SwitchChild) -> None:
        try:
            await child.request("reload", timeout_s=_RELOAD_TIMEOUT_S)
        except (SwitchSilent, RequestFailed) as fault:
            log.warning("switch did not take the new tables", switch=child.number, reason=str(fault))

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("work of the supervisor failed", exc_info=error, remedy="restart the server; report this")


async def supervise(
    config: Config,
    *,
    launch: Launch,
    keep_routing: Callable[[Announce], Reloads],
    clock: Clock,
    owned_directories: Iterable[str] = (),
    join: Join | None = None,
    spare: Spare | None = None,
    directory: Directory | None = None,
) -> int:
    """Run the server that `config` describes until it is told to stop; its exit code.

    `launch` starts a switch, whose listeners are in the order of the configuration, by `spare` where it can;
    `keep_routing` makes what keeps the routing in force.

    Raises:
        ConfigInvalid: it can't start; one line for a person, and EX_CONFIG, is what is called for.
    """
    grounds = Grounds(config, owned_directories)
    DropDirectory(config.submission.drop_directory).remove_stale(clock)
    supervisor = Supervisor(
        config, grounds, launch, keep_routing, clock, join=join, spare=spare, directory=directory
    )  # fmt: skip
    return await supervisor.run()
