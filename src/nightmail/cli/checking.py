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

from nightmail.config.secret import read_secret
from nightmail.config.settings import Config
from nightmail.errors import ConfigInvalid
from nightmail.mail.reply import Reply
from nightmail.net.addresses import is_ip, parse_host_port
from nightmail.routing.generations import check_tables, open_newest
from nightmail.routing.snapshot import RoutingSnapshot
from nightmail.routing.source import NAMES


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration says, in short."""

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
    remarks: tuple[str, ...] = ()


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
    return _with_tables(findings, config) if config.directory is None else _with_directory(findings, config)


def _with_tables(findings: Findings, config: Config) -> Findings:
    hostname = config.server.hostname
    with tempfile.TemporaryDirectory(prefix="nightmail-check-") as scratch:
        summary = check_tables(config.tables.directory, scratch, config.base)
        with contextlib.closing(open_newest(scratch, hostname)) as snapshot:
            _check_balancer(config, snapshot)
            remarks = _remarks(snapshot, hostname)
    entries = {name: summary.counts.get(name, 0) for name in NAMES}
    return msgspec.structs.replace(findings, tables=config.tables.directory, remarks=remarks, entries=entries)


def _with_directory(findings: Findings, config: Config) -> Findings:
    """Judge what a replica has, or else what was last known of it; a server starts without both."""
    directory = config.directory
    if directory is None:
        return findings
    read_secret(directory.secret_file, "[directory] secret_file")
    findings = msgspec.structs.replace(findings, directory=directory.suffix, replicas=config.replicas)
    try:
        from nightmail.cli import directory_checks as checks  # noqa: PLC0415 - LDAP is an extra, and slow to load
    except ModuleNotFoundError as error:
        wrong = f"{error.name} is not installed, which a directory needs"
        raise ConfigInvalid("[directory]", wrong, "pip install 'nightmail[directory]'") from error

    found = checks.found_in(config)
    if found is None:
        remark = (
            "no replica of the directory answers, so that nothing in it was judged, nor what whoever comes through a "
            "balancer may do; once the servers run, check again"
        )
        return msgspec.structs.replace(findings, remarks=(remark,))
    with checks.judged(config, found) as judge:
        _check_balancer(config, judge.snapshot)
        wrong = checks.told(checks.findings_of(judge, found.items))
        remarks = _remarks(judge.snapshot, config.server.hostname) if found.is_all else ()
    if wrong:
        remarks = (f"{wrong}: `nightmail directory check` names them", *remarks)
    entries = {name: number for name, number in checks.counted(found.items).items() if found.is_all or number}
    return msgspec.structs.replace(findings, judged=found.source, entries=entries, remarks=remarks)


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


def _remarks(snapshot: RoutingSnapshot, hostname: str) -> tuple[str, ...]:
    """What is no fault, and yet hardly meant."""
    found = snapshot.accept(f"postmaster@{hostname}", may_relay=False)
    if not isinstance(found, Reply):
        return ()
    remark = (
        f"mail to postmaster@{hostname} is refused ({found}). Reports name that address, and programs on this machine "
        f"mean {hostname} by a bare name such as root: give it a line in domains, such as "
        f"'{hostname}  alias example.org'"
    )
    return (remark,)


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
    _good(console, findings.tables or findings.directory)
    for name, address in findings.replicas.items():
        _fact(console, "replica", f"{name} at {address}")
    if findings.judged:
        _fact(console, "judged", findings.judged)
    for name, number in findings.entries.items():
        _fact(console, name, f"{number:,}" if number else "–")
    for remark in findings.remarks:
        console.print(Text("! ", "bold yellow") + Text(remark), soft_wrap=True)


def _good(console: Console, what: str) -> None:
    console.print(Text("✓ ", "bold green") + Text(what, "bold"), soft_wrap=True)


def _fact(console: Console, name: str, value: str) -> None:
    console.print(Text(f"  {name:<10}", "dim") + Text(value), soft_wrap=True)
