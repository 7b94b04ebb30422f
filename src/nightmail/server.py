"""The composition root: the only place that picks the real clock, store, network and transports, and wires them.

`serve` runs a server: the supervisor and, by this module as a program, one process for each switch, primary or
secondary, and a spare that becomes the next one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import structlog
import uvloop
from setproctitle import setproctitle

from nightmail import logs
from nightmail.config.loading import load
from nightmail.config.secret import read_secret
from nightmail.config.settings import Config
from nightmail.delivery.discard import DiscardTransport, RejectTransport
from nightmail.delivery.job import Transport
from nightmail.delivery.maildir import MaildirTransport
from nightmail.delivery.smtp import SmtpTransport
from nightmail.errors import ConfigInvalid, DirectoryUnavailable, StoreUnavailable
from nightmail.group.heartbeat import Seal
from nightmail.journal.ownership import Adopter, Identity
from nightmail.mail.message_id import MessageIds
from nightmail.net.addresses import parse_host_port
from nightmail.net.dialing import SocketDialer
from nightmail.net.dns import DnsResolver
from nightmail.net.mail_hosts import MailHosts, OwnHosts
from nightmail.queue.backoff import Backoff
from nightmail.queue.destinations import Destinations
from nightmail.queue.policies import with_policies
from nightmail.queue.settings import QueueSettings
from nightmail.routing.generations import open_newest
from nightmail.routing.snapshot import RoutingSnapshot
from nightmail.routing.table_files import TableFiles
from nightmail.store.location import directory_of
from nightmail.store.opening import open_store
from nightmail.submission import DropDirectory
from nightmail.supervisor.launching import CONTROL, LISTENERS, Launch, Launched, descriptor_options, launch_command
from nightmail.supervisor.parent import die_with_supervisor
from nightmail.supervisor.spare import Spare, wait_to_become
from nightmail.switch.admission import Admission
from nightmail.switch.attempts import Attempt
from nightmail.switch.generations import Assignment
from nightmail.switch.health import DestinationHealth
from nightmail.switch.liveness import LIVES, LifeLock, Machine
from nightmail.switch.parts import Parts, Routing
from nightmail.switch.process import SwitchProcess
from nightmail.switch.switch import Switch
from nightmail.world import Clock, SystemClock, SystemRandomness

if TYPE_CHECKING:
    from nightmail.supervisor.child import Spawn, SwitchChild
    from nightmail.supervisor.cluster import Cluster
    from nightmail.supervisor.directory import ServerDirectory
    from nightmail.supervisor.external import ExternalDirectory
    from nightmail.supervisor.supervising import Join
    from nightmail.supervisor.tables import Announce, Reloads

EX_TEMPFAIL = 75
EX_CONFIG = 78
_OURSELVES = (sys.executable, "-m", "nightmail.server")
_GARBAGE_THRESHOLDS = (50_000, 20, 50)

log = structlog.get_logger()


def serve(config: Config) -> int:
    """Run the server that `config` describes until it is told to stop; its exit code.

    Raises:
        ConfigInvalid: it can't run so.
    """
    from nightmail.supervisor.supervising import supervise  # noqa: PLC0415 - a switch starts the sooner without it

    clock = SystemClock()
    logs.configure(config.server.log_format, clock)
    directory = _directory(config, clock)
    owned = [directory_of(config.store.url), *(directory.owned if directory is not None else ())]
    spare = Spare(lambda: launch_command([*_OURSELVES, "spare"], []), rest_s=1 + 2 * config.store.lease_s)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(
            supervise(
                config,
                launch=_launching(config, spare),
                keep_routing=_keep_tables(config, clock) if directory is None else directory.keep_routing,
                directory=directory,
                clock=clock,
                owned_directories=owned,
                join=_joining(config, clock, spare) if len(config.servers) > 1 else None,
                spare=spare,
            )
        )


def _keep_tables(config: Config, clock: Clock) -> Callable[[Announce], Reloads]:
    """How routing is kept as the files of the tables have it."""
    from nightmail.supervisor.tables import TableReloads  # noqa: PLC0415 - as in `serve`

    tables = TableFiles(config.tables.directory, _compiled_directory(config), config.base)
    return lambda announce: TableReloads(tables, announce, clock)


def _directory(config: Config, clock: Clock) -> ServerDirectory | ExternalDirectory | None:
    """What a server has to do with its directory, where it has one. Raises: ConfigInvalid: it can't be used."""
    if config.directory is None:
        return None
    try:
        from nightmail.supervisor.directory import ServerDirectory  # noqa: PLC0415 - as in `serve`
        from nightmail.supervisor.external import ExternalDirectory  # noqa: PLC0415 - as in `serve`
    except ModuleNotFoundError as error:
        wrong = f"{config.path}: [directory] needs {error.name}"
        raise ConfigInvalid(wrong, "which is not installed", "pip install 'nightmail[directory]'") from error
    if config.directory.topology == "external":
        return ExternalDirectory(config, _compiled_directory(config), clock)
    return ServerDirectory(config, _compiled_directory(config), clock, SystemRandomness())


def _launching(config: Config, spare: Spare, secondary_for: str = "") -> Launch:
    """How a switch of this server is started: a primary one, or a secondary one for another server."""
    program = ["secondary", "--of", secondary_for] if secondary_for else ["switch"]

    def launch_switch(number: int, listeners: Sequence[socket.socket]) -> Launched:
        words = [*program, "--config", config.path, "--name", config.server.name, "--switch", str(number)]
        return spare.become(words, listeners) or launch_command([*_OURSELVES, *words], listeners)

    return launch_switch


def _joining(config: Config, clock: Clock, spare: Spare) -> Join:
    """How this server takes part in its cluster. Raises: ConfigInvalid: the secret is none."""
    from nightmail.supervisor.child import SwitchChild  # noqa: PLC0415 - as in `serve`
    from nightmail.supervisor.cluster import Cluster  # noqa: PLC0415 - as in `serve`

    seal, randomness = Seal(read_secret(config.heartbeat.secret_file, "[heartbeat] secret_file")), SystemRandomness()

    def secondary_for(number: int, server: str) -> SwitchChild:
        launch_secondary = _launching(config, spare, server)
        return SwitchChild(number, launch_secondary, [], clock, may_give_up=lambda: False, secondary_for=server)

    def join(children: list[SwitchChild], spawn: Spawn, give_up: Callable[[ConfigInvalid], None]) -> Cluster:
        return Cluster(
            config, children,
            store=open_store(config.store.url, randomness), seal=seal, clock=clock, randomness=randomness,
            secondary_for=secondary_for, spawn=spawn, give_up=give_up,
        )  # fmt: skip

    return join


def _compiled_directory(config: Config) -> str:
    return os.path.join(config.server.run_directory, "compiled")


def build_switch(config: Config, number: int, secondary_for: str = "") -> SwitchProcess:
    """Everything of one switch process, wired but not started; a secondary one takes no mail.

    Raises: ConfigInvalid, DirectoryUnavailable, OSError.
    """
    clock, randomness = SystemClock(), SystemRandomness()
    server = config.server
    switches = server.workers or len(os.sched_getaffinity(0))
    incarnation = randomness.token(8).hex()
    life = LifeLock(os.path.join(server.run_directory, LIVES, incarnation))
    life.remove_old(clock.wall())
    machine = Machine.this()
    store = open_store(config.store.url, randomness)
    group = config.group_of(server.name)
    identity = Identity(server.name, incarnation, machine.machine, machine.boot, life.path, group)
    promise_ms = int(config.store.lease_s * 1000)
    among = switches + bool(secondary_for)
    queue_settings = _share(config, among, {})
    destinations: Destinations[Attempt] = Destinations(queue_settings, randomness)
    health = DestinationHealth(destinations, clock)
    routing, open_routing = _routing(config, clock)
    parts = Parts(
        hostname=server.hostname,
        store=store,
        clock=clock,
        randomness=randomness,
        ids=MessageIds(clock, randomness),
        store_settings=config.store,
        queue_settings=queue_settings,
        destinations=destinations,
        backoff=Backoff(queue_settings, randomness),
        health=health,
        transports=_transports(config, health, clock, randomness),
        routing=routing,
    )
    adopter = Adopter(store, clock, randomness, identity, promise_ms=promise_ms)
    admission = Admission(config.smtp)
    assignment = (
        Assignment(secondary_for, number, switches, host=server.name)
        if secondary_for
        else Assignment(server.name, number, switches)
    )
    switch = Switch(parts, adopter, machine, assignment, admission, is_alone=len(config.servers) < 2)
    return SwitchProcess(
        switch,
        config.smtp,
        [] if secondary_for else config.listeners,
        open_routing=open_routing,
        limits_among=lambda among, policies: _share(config, among, policies),
        among=among,
        drops=DropDirectory(config.submission.drop_directory, config.smtp.message_size_limit_bytes)
        if number == 0 and not secondary_for
        else None,
        life=life,
    )


def _routing(config: Config, clock: Clock) -> tuple[Routing, Callable[[], RoutingSnapshot]]:
    """The routing in force, and how a switch opens what comes into force later.

    Raises:
        DirectoryUnavailable: there is none.
    """
    compiled, hostname = _compiled_directory(config), config.server.hostname
    if config.directory is None:
        return Routing(open_newest(compiled, hostname)), lambda: open_newest(compiled, hostname)
    # Most servers have no directory: their switches start the sooner without it.
    from nightmail.admin.external import changes_of, schema_of  # noqa: PLC0415 - see above
    from nightmail.admin.replicas import (  # noqa: PLC0415 - see above
        access_of,
        authority_of,
        master_for_good,
        masters_told,
        near_uris,
        replica_uris,
    )
    from nightmail.directory.lookups import Lookups  # noqa: PLC0415 - see above
    from nightmail.directory.maps import DirectoryMaps  # noqa: PLC0415 - see above
    from nightmail.directory.replica import ROLE  # noqa: PLC0415 - see above

    def forget_answers() -> None:
        routing.snapshot.forget()

    lookups = Lookups(
        config.directory.suffix,
        replica_uris(config),
        access_of(config.directory, "reader", authority_of(config)),
        clock,
        near=near_uris(config),
        parts={part.base: master_for_good(config, part) for part in config.parts},
        masters=masters_told(config),
        role=ROLE if config.has_failover else "",
        base=config.base,
        timeout_s=config.directory.lookup_timeout_s,
        lag_limit_s=config.directory.lag_limit_s,
        changed=forget_answers,
        schema=schema_of(config.directory),
        make_feed=changes_of(config.directory),
    )

    def open_routing() -> RoutingSnapshot:
        return open_newest(
            compiled, hostname, lambda whole: DirectoryMaps(whole, lookups.find, lambda: lookups.is_certain)
        )

    routing = Routing(open_routing(), lookups)
    return routing, open_routing


def _share(config: Config, switches: int, policies: Mapping[str, float]) -> QueueSettings:
    """The limits of a server are shared out among its switches; what is waited for ends before a switch is killed.

    Raises:
        ConfigInvalid: policies and the file contradict each other.
    """
    queue = with_policies(config.queue, policies)
    return msgspec.structs.replace(
        queue,
        handover_wait_s=min(queue.handover_wait_s, config.server.stop_timeout_s / 2),
        destination_connections=-(-queue.destination_connections // switches),
        total_connections=-(-queue.total_connections // switches),
    )


def _transports(
    config: Config, health: DestinationHealth, clock: SystemClock, randomness: SystemRandomness
) -> Mapping[str, Transport]:
    listeners = [parse_host_port(listener.address) for listener in config.listeners]
    balancer = (config.balancer.address,) if config.balancer is not None else ()
    own = OwnHosts(config.server.hostname, listeners, (*config.server.own_addresses, *balancer))
    hosts = MailHosts(DnsResolver(config.dns, clock), randomness, own, config.dns.addresses_tried)
    smtp = SmtpTransport(
        config.delivery, config.server.hostname, hosts=hosts, dialer=SocketDialer(), health=health, clock=clock
    )
    return {
        "smtp": smtp,
        "lmtp": smtp,
        "maildir": MaildirTransport(randomness, config.delivery.maildir_threads),
        "discard": DiscardTransport(),
        "reject": RejectTransport(),
    }


def run_server(path: str, name: str | None) -> int:
    """Load the configuration and serve; a fault of it is one clear line and EX_CONFIG.

    What the machine refuses for now is one line too, and EX_TEMPFAIL: whoever started us may try again.
    """
    try:
        return serve(load(path, name))
    except ConfigInvalid as error:
        sys.stderr.write(f"nightmail: {error}\n")
        return EX_CONFIG
    except (DirectoryUnavailable, StoreUnavailable, OSError) as error:
        sys.stderr.write(f"nightmail: {error}\n")
        return EX_TEMPFAIL


def run_switch(given: argparse.Namespace) -> int:
    """Be one switch, for the supervisor at the other end of the control channel."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=given.control_fd)
    die_with_supervisor(control)
    try:
        config = load(given.config, given.name)
        setproctitle(f"nightmail: {_title(config.server.name, given.switch, given.of)}")
        facts = {"secondary_for": given.of} if given.of else {}
        logs.configure(config.server.log_format, SystemClock(), switch=given.switch, **facts)
        process = build_switch(config, given.switch, given.of)
    except ConfigInvalid as error:
        log.critical("switch can't start", reason=str(error), remedy="mend the configuration")
        return EX_CONFIG
    except (DirectoryUnavailable, StoreUnavailable, OSError) as error:
        log.critical("switch can't start", reason=str(error), remedy="it is tried again; see to what is missing")
        return EX_TEMPFAIL
    listeners = [socket.socket(fileno=fd) for fd in given.listener_fds]
    # What is here stays; a queue of a million messages must not be walked for garbage that reference counts free.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(process.run(control, listeners))
    logs.mail_log.flush()
    return 0


def _title(server: str, number: int, secondary_for: str) -> str:
    """What `ps` shows of a switch."""
    return f"secondary switch of {server} for {secondary_for}" if secondary_for else f"switch {number} of {server}"


def run_spare(given: argparse.Namespace) -> int:
    """Be whatever switch the supervisor comes to need, having loaded what they all load."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=given.control_fd)
    die_with_supervisor(control)
    setproctitle("nightmail: spare switch")
    gc.collect()
    told = wait_to_become(control)
    if told is None:
        return 0
    words, listeners = told
    return main([*words, *descriptor_options(control.detach(), listeners)])


def main(arguments: Sequence[str]) -> int:
    """The programs of this module: the server, its switches, and the spare; the exit code."""
    parser = argparse.ArgumentParser(prog="nightmail.server", description="What `nightmail serve` runs.")
    programs = parser.add_subparsers(required=True)
    server = programs.add_parser("serve", help="the supervisor and its switches")
    switch = programs.add_parser("switch", help="one switch, started by the supervisor")
    secondary = programs.add_parser("secondary", help="a switch for the queues of another server")
    spare = programs.add_parser("spare", help="a process that waits to become one of these switches")
    for program in (server, switch, secondary):
        program.add_argument("--config", required=True)
        program.add_argument("--name")
    secondary.add_argument("--of", required=True)
    for program in (switch, secondary):
        program.add_argument("--switch", type=int, required=True)
    for program in (switch, secondary, spare):
        program.add_argument(CONTROL, type=int, required=True)
        program.add_argument(LISTENERS, type=json.loads, required=True)
    server.set_defaults(run=lambda given: run_server(given.config, given.name))
    switch.set_defaults(run=run_switch, of="")
    secondary.set_defaults(run=run_switch)
    spare.set_defaults(run=run_spare)
    given = parser.parse_args(arguments)
    code: int = given.run(given)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
