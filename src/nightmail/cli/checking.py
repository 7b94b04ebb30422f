"""`nightmail check`: whether everything that a server would read is as it should be."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import pwd
import tempfile

import msgspec
from rich.console import Console
from rich.text import Text

from nightmail.cli.words import span
from nightmail.config.secret import read_secret
from nightmail.config.settings import Config
from nightmail.directory.settings import DirectorySettings
from nightmail.errors import ConfigInvalid
from nightmail.mail.reply import Reply
from nightmail.net.addresses import is_ip, parse_host_port
from nightmail.queue.policies import with_policies
from nightmail.routing.beside import LOOKED_UP, TablesBeside
from nightmail.routing.generations import check_tables, open_newest
from nightmail.routing.resolution import RELAY_DENIED
from nightmail.routing.snapshot import RoutingSnapshot
from nightmail.routing.source import NAMES
from nightmail.routing.tables import TextTables
from nightmail.world import SystemClock

_NOTHING_JUDGED = (
    "no replica of the directory answers, so that nothing in it was judged, nor what whoever comes through a "
    "balancer may do; once the servers run, check again"
)
_NOBODY_JUDGED = "no server of the directory let everything be read, so that no person and no list was judged"
_NOBODY_ASKED = (
    "no server of the directory can be asked: mail for whoever is only known there gets 451 until one can be"
)
_NOTHING_KNOWN = (
    "no server of the directory can be asked, and there is no last copy of it here: no mail is taken until one can be"
)
_OTHER_SECRETS = (
    "not all servers have the same secret: a replica is of no use to a server that has another one, and mail gets 451 "
    "where no other one can be asked"
)
_OTHER_MASTERS = (
    "not all servers' files name the same masters of the directory: whoever is not found gets 451 until they do"
)
_ALONE = (
    'topology = "failover", and only {server} has a replica of the directory, so that nobody can take its place: write '
    'directory = "ADDRESS:PORT" for a second server'
)
_OF_THE_COPY = "the directory could not be asked; judged was the last copy of it on this disk, written {age} ago"
_LINE = "give it a line in domains, such as '{hostname}  alias DOMAIN', DOMAIN being a local one of yours"
_ENTRY = "add it to domains, such as with nmDomain: {hostname} and nmAliasOf: DOMAIN, DOMAIN being a local one of yours"
_NOBODY = (
    "the domain is known: have postmaster of it, or of the one that it is another name of, be a mailbox or an alias"
)


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration says, in short. `fault` is what keeps mail from being taken though all of it is right.

    `outcomes` are what came of asking those servers of the directory that can't be asked.
    """

    config: str
    server: str
    hostname: str
    user: str
    switches: int
    store: str
    listeners: tuple[str, ...]
    run_directory: str
    peers: tuple[str, ...]
    tables: str = ""
    entries: dict[str, int] = {}
    directory: str = ""
    replicas: dict[str, str] = {}
    judged: str = ""
    asked: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    fault: str = ""
    outcomes: tuple[str, ...] = ()


def check_everything(config: Config) -> Findings:
    """Read the tables too, and look up what the configuration names.

    Raises:
        ConfigInvalid: a server could not start with this.
    """
    server = config.server
    if server.user:
        _check_user(server.user)
    findings = Findings(
        config=config.path,
        server=server.name,
        hostname=server.hostname,
        user=server.user,
        switches=server.workers or len(os.sched_getaffinity(0)),
        store=config.store.url,
        listeners=tuple(f"{listener.address} {listener.service}" for listener in config.listeners),
        run_directory=server.run_directory,
        peers=tuple(name for name in config.servers if name != server.name),
    )
    if config.directory is not None:
        findings = _with_directory(findings, config.directory, config)
    return findings if config.directory is not None and not config.has_tables else _with_tables(findings, config)


def _with_tables(findings: Findings, config: Config) -> Findings:
    is_all = config.directory is None
    with tempfile.TemporaryDirectory(prefix="nightmail-check-") as scratch:
        kind = TextTables if is_all else TablesBeside
        summary = check_tables(config.tables.directory, scratch, config.base, kind)
        with contextlib.closing(open_newest(scratch, config.server.hostname)) as snapshot:
            _check_balancer(config, snapshot)
            remarks = _remarks(snapshot, config.server.hostname, _LINE) if is_all else findings.remarks
            remarks = (*_contradictions(config, snapshot), *remarks)
    found = {name: number for name, number in findings.entries.items() if name in LOOKED_UP}
    names = [name for name in NAMES if is_all or name not in LOOKED_UP or name in found]
    entries = {name: found.get(name, summary.counts.get(name, 0)) for name in names}
    return msgspec.structs.replace(findings, tables=config.tables.directory, remarks=remarks, entries=entries)


def _with_directory(findings: Findings, directory: DirectorySettings, config: Config) -> Findings:
    """Judge what a replica has, or else what was last known of it; a server starts without both."""
    try:
        from nightmail.cli import directory_checks as checks  # noqa: PLC0415 - LDAP is an extra, and slow to load
    except ModuleNotFoundError as error:
        wrong = f"{error.name} is not installed, which a directory needs"
        raise ConfigInvalid("[directory]", wrong, "pip install 'nightmail[directory]'") from error

    is_ours = directory.topology != "external"
    if is_ours:
        read_secret(directory.secret_file, "[directory] secret_file")
    asking = checks.whom_to_ask(config)
    uris, reasons = asking.uris, [*asking.reasons, *asking.contradictions, *asking.away]
    reasons += filter(None, [asking.outdated, _nobody_to_fail_over(config)])
    fault = "" if uris else _NOBODY_ASKED
    if is_ours and asking.reasons:
        fault = _OTHER_SECRETS
    elif asking.contradictions:
        fault = _OTHER_MASTERS
    findings = msgspec.structs.replace(
        findings,
        directory=directory.suffix,
        replicas=config.replicas,
        asked=directory.uris,
        fault=fault,
        outcomes=tuple(sorted(asking.outcomes)),
    )
    found = checks.found_in(config, uris)
    if found is None:
        unjudged = _NOTHING_JUDGED if is_ours else _NOBODY_JUDGED
        fault = _NOTHING_KNOWN if fault == _NOBODY_ASKED and not config.has_tables else fault
        return msgspec.structs.replace(findings, remarks=(*reasons, *([unjudged] if uris else [])), fault=fault)
    if found.written_at:
        reasons.append(_OF_THE_COPY.format(age=span(SystemClock().wall() - found.written_at)))
    with checks.judged(config, found) as judge:
        _check_balancer(config, judge.snapshot)
        wrong = checks.told(checks.findings_of(judge, found))
        remedy = _LINE if config.has_tables else _ENTRY
        remarks = _remarks(judge.snapshot, config.server.hostname, remedy) if found.is_all else ()
        contradictions = () if config.has_tables else _contradictions(config, judge.snapshot)
    if wrong:
        remarks = (f"{wrong}: `nightmail directory check` names them", *remarks)
    remarks = (*reasons, *contradictions, *remarks)
    entries = {name: number for name, number in checks.counted(found).items() if found.is_all or number}
    return msgspec.structs.replace(findings, judged=found.source, entries=entries, remarks=remarks)


def _nobody_to_fail_over(config: Config) -> str:
    """Why the master's role can't move, where the topology says that it does; empty where it can."""
    return _ALONE.format(server=config.master) if config.has_failover and len(config.replicas) < 2 else ""


def _check_balancer(config: Config, snapshot: RoutingSnapshot) -> None:
    """Behind a balancer that does not say whose a connection is, everybody has its rights: it may have none."""
    host = parse_host_port(config.balancer.address).host if config.balancer is not None else ""
    rule = snapshot.client_rule(host) if is_ip(host) else ""
    if rule not in ("relay", "submit"):
        return
    for listener in config.listeners:
        if not any(ipaddress.ip_address(host) in ipaddress.ip_network(each) for each in listener.proxy_from):
            raise ConfigInvalid(
                f"{config.path}: [[listener]] {listener.address}",
                f"whoever comes through the balancer at {host} could send anywhere: {host} is {rule!r} in clients, and "
                "need not say whose connection it passes on",
                f'write proxy_from = ["{host}"], or take {host} out of clients',
            )


def _remarks(snapshot: RoutingSnapshot, hostname: str, remedy: str) -> tuple[str, ...]:
    """What is no fault, and yet hardly meant."""
    found = snapshot.accept(f"postmaster@{hostname}", may_relay=False)
    if not isinstance(found, Reply):
        return ()
    remark = (
        f"mail to postmaster@{hostname} is refused ({found}). Reports name that address, and programs on this machine "
        f"mean {hostname} by a bare name such as root: "
        + (remedy.format(hostname=hostname) if found == RELAY_DENIED else _NOBODY)
    )
    return (remark,)


def _contradictions(config: Config, snapshot: RoutingSnapshot) -> tuple[str, ...]:
    """Why policies can't come into force here, if so: no line and no entry is wrong by itself."""
    try:
        with_policies(config.queue, snapshot.policies)
    except ConfigInvalid as fault:
        return (f"no policy comes into force: {fault}",)
    return ()


def _check_user(user: str) -> None:
    try:
        pwd.getpwnam(user)
    except KeyError:
        raise ConfigInvalid("[server] user", f"there is no user {user!r}", "create it or name another") from None


def show_findings(findings: Findings, console: Console) -> None:
    """Print them for a person."""
    switches = "1 switch" if findings.switches == 1 else f"{findings.switches} switches"
    user = f", as {findings.user}" if findings.user else ""
    _good(console, findings.config)
    _fact(console, "server", f"{findings.server} ({findings.hostname}), {switches}{user}")
    for listener in findings.listeners:
        _fact(console, "listens", listener)
    _fact(console, "store", findings.store)
    _fact(console, "runs in", findings.run_directory)
    if findings.peers:
        _fact(console, "peers", ", ".join(findings.peers))
    if findings.directory and findings.fault:
        console.print(Text("✗ ", "bold red") + Text(findings.directory, "bold"), soft_wrap=True)
    elif findings.directory:
        _good(console, findings.directory)
    for name, address in findings.replicas.items():
        _fact(console, "replica", f"{name} at {address}")
    for uri in findings.asked:
        _fact(console, "asked", uri)
    if findings.judged:
        _fact(console, "judged", findings.judged)
    if findings.tables:
        _good(console, findings.tables)
    for name, number in findings.entries.items():
        _fact(console, name, f"{number:,}" if number else "–")
    for remark in findings.remarks:
        console.print(Text("! ", "bold yellow") + Text(remark), soft_wrap=True)


def _good(console: Console, what: str) -> None:
    console.print(Text("✓ ", "bold green") + Text(what, "bold"), soft_wrap=True)


def _fact(console: Console, name: str, value: str) -> None:
    console.print(Text(f"  {name:<10}", "dim") + Text(value), soft_wrap=True)
