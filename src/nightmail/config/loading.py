"""Reads a configuration file as a server is to run it: checked as a whole, defaults filled in, paths made absolute."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import msgspec

from nightmail.balancer.settings import BalancerSettings
from nightmail.config.expecting import settings_of
from nightmail.config.parsing import Parser, nearest
from nightmail.config.settings import Config, HeartbeatSettings, ServerSettings, SubmissionSettings
from nightmail.directory.settings import DirectorySettings
from nightmail.errors import ConfigInvalid
from nightmail.net.addresses import is_ip, parse_host_port
from nightmail.net.settings import ListenerSettings
from nightmail.routing.settings import TablesSettings
from nightmail.store.location import directory_of
from nightmail.store.settings import StoreSettings

_NAME = re.compile(r"[A-Za-z0-9-]{1,63}")
_NAME_HERE = "{name}"
NAME_VARIABLE = "NIGHTMAIL_NAME"
_FILE_URL = re.compile(r"file:(?://)?(?!/)(.+)")

_Settings = TypeVar("_Settings", bound=msgspec.Struct)


def load(path: str, name: str | None = None) -> Config:
    """The configuration in the file at `path`, for the server `name` (default: the one that the file names).

    Raises:
        ConfigInvalid: the file can't be read, or something in it is wrong.
    """
    parser = Parser(_read_text(path), path)
    config = parser.parse()
    _check_servers(config, parser)
    _check_directory(config, parser)
    config = msgspec.structs.replace(config, server=_identify(config, parser, name))
    config = _with_a_listener(config)
    _check_listeners(config, parser)
    _check_addresses(config, parser)
    config = _complete(config, os.path.abspath(path))
    parser.check(partial(directory_of, config.store.url), ("store", "url"))
    return config


def _read_text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise ConfigInvalid(path, f"it can't be read: {error.strerror}", "name the file with --config FILE") from error
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigInvalid(f"{path}:{line}", "this line is not UTF-8", "store the file as UTF-8") from error


def _identify(config: Config, parser: Parser, override: str | None) -> ServerSettings:
    """The server's own settings under the name that it goes by."""
    given = override or config.server.name or _name_here(config)
    path = ("server", "name")
    if not given:
        known = f"; the servers are {', '.join(config.servers)}" if config.servers else ""
        remedy = f"write name = ..., give --name, or set {NAME_VARIABLE}{known}"
        raise parser.fault(("server",), "[server] has no name, nor does [servers] name this host", remedy)
    _check_name(given, parser, path)
    if config.servers and given not in config.servers:
        near = nearest(given, config.servers)
        right = f"did you mean {near}?" if near else f"the servers are {', '.join(config.servers)}"
        raise parser.fault(path, f"there is no [servers.{given}] for the server {given}", right)
    return msgspec.structs.replace(config.server, name=given)


def _name_here(config: Config) -> str:
    """Which of the servers this host is, where neither the command nor the file says so: programs can't."""
    if len(config.servers) == 1:
        return next(iter(config.servers))
    host = socket.gethostname()
    candidates = (host, host.partition(".")[0])
    return os.environ.get(NAME_VARIABLE) or next((name for name in candidates if name in config.servers), "")


def _check_name(name: str, parser: Parser, path: tuple[str, ...]) -> None:
    if not _NAME.fullmatch(name):
        wrong = f"{name!r} can't be the name of a server"
        raise parser.fault(path, wrong, "a name is made of letters, digits and -, at most 63 of them")


def _check_servers(config: Config, parser: Parser) -> None:
    """Several servers must be able to tell and to reach one another; one by itself needs nothing (R1)."""
    for name in config.servers:
        _check_name(name, parser, ("servers", name))
    if len(config.servers) < 2:
        return
    heartbeats: dict[str, str] = {}
    for name, entry in config.servers.items():
        path = ("servers", name, "heartbeat")
        if not entry.heartbeat:
            raise parser.fault(path, f"[servers.{name}] has no heartbeat", "with several servers each needs one")
        other = heartbeats.setdefault(entry.heartbeat, name)
        if other != name:
            wrong = f"[servers.{name}] heartbeat is also that of {other}"
            raise parser.fault(path, wrong, "give each server an address of its own")
    if not config.heartbeat.secret_file:
        raise parser.fault(
            ("heartbeat",),
            "[heartbeat] has no secret_file",
            "with several servers it names the file with the key that all of them share",
        )


def _check_directory(config: Config, parser: Parser) -> None:
    """A directory needs a replica somewhere, and one that takes writes (R18)."""
    replicas, directory = config.replicas, config.directory
    if directory is None:
        for name in replicas:
            path = ("servers", name, "directory")
            raise parser.fault(path, f"[servers.{name}] has a directory, and there is no [directory]", "write it")
        return
    if directory.topology == "external":
        _check_external(config, directory, parser)
        return
    if not replicas:
        wrong = "no server has a replica of the directory"
        raise parser.fault(("directory",), wrong, 'write directory = "host:port" below [servers.NAME] of one or two')
    _check_masters(config, directory, parser)
    addresses: dict[str, str] = {}
    for name, address in replicas.items():
        other = addresses.setdefault(address, name)
        if other != name:
            wrong = f"[servers.{name}] directory is also that of {other}"
            raise parser.fault(("servers", name, "directory"), wrong, "give each server an address of its own")


def _check_masters(config: Config, directory: DirectorySettings, parser: Parser) -> None:
    """Each part of it has to have one replica that takes writes, and each site with replicas a part (R26)."""
    replicas = config.replicas
    if directory.topology == "multi-site":
        for name in replicas:
            site = config.site_of(name)
            if site not in directory.masters:
                wrong = f"[directory] masters has none for the site {site}, where {name} stands"
                raise parser.fault(("directory", "masters"), wrong, f'write {site} = "{name}" there')
        for site, master in directory.masters.items():
            if master not in replicas:
                wrong = f"[directory] masters: {site}: {master} is no server with a replica"
                raise parser.fault(("directory", "masters", site), wrong, f"those with one are {', '.join(replicas)}")
        return
    if not directory.first_master and len(replicas) > 1:
        right = f"it says whose replica takes writes: {' or '.join(replicas)}; the same in the files of all servers"
        raise parser.fault(("directory",), "[directory] has no first_master", right)
    if config.master not in replicas:
        wrong = f"[directory] first_master: {directory.first_master} is no server with a replica"
        raise parser.fault(("directory", "first_master"), wrong, f"those with one are {', '.join(replicas)}")


def _check_external(config: Config, directory: DirectorySettings, parser: Parser) -> None:
    """A directory that nightmail does not run has no replica here. What is read whole is kept, unless tables say it."""
    for name in config.replicas:
        wrong = f"[servers.{name}] has a directory, which is for replicas that nightmail runs"
        raise parser.fault(("servers", name, "directory"), wrong, 'take it out, with topology = "external"')
    if config.has_tables and directory.data_directory:
        wrong = "[directory] has a data_directory, and [tables] say all that would be kept there"
        raise parser.fault(("directory", "data_directory"), wrong, "take it out")
    if not config.has_tables and not directory.data_directory:
        right = "write it, for domains, routes and clients from the directory, or [tables], for those from files"
        raise parser.fault(("directory",), "[directory] has no data_directory, and there are no [tables]", right)


def _with_a_listener(config: Config) -> Config:
    """Where none is named, mail is taken where the balancer brings it, and a balancer has to say whose it is."""
    entry = config.servers.get(config.server.name)
    if config.listeners or entry is None or not entry.smtp:
        return config
    host = parse_host_port(config.balancer.address).host if config.balancer is not None else ""
    listener = ListenerSettings(address=entry.smtp, proxy_from=(host,) if is_ip(host) else ())
    return msgspec.structs.replace(config, listeners=(listener,))


def _check_listeners(config: Config, parser: Parser) -> None:
    entry = config.servers.get(config.server.name)
    if not config.listeners and not (entry is not None and entry.standby):
        raise parser.fault((), "there is no [[listener]]", 'write [[listener]] and below it address = "127.0.0.1:2525"')
    seen: set[str] = set()
    for index, listener in enumerate(config.listeners):
        path = ("listener", index, "address")
        parser.check(partial(_check_bindable, listener.address), path)
        if listener.address in seen and not listener.address.endswith(":0"):
            raise parser.fault(path, "[[listener]] address stands twice", "give each listener an address of its own")
        seen.add(listener.address)
        parser.check(partial(_check_networks, listener.proxy_from), ("listener", index, "proxy_from"))


def _check_bindable(address: str) -> None:
    if not is_ip(parse_host_port(address).host):
        raise ValueError("its host is not an IP address; write 0.0.0.0:PORT for all of IPv4, [::]:PORT for all of IPv6")


def _check_addresses(config: Config, parser: Parser) -> None:
    parser.check(partial(_check_ips, config.server.own_addresses), ("server", "own_addresses"))
    parser.check(partial(_check_ips, config.dns.resolvers), ("dns", "resolvers"))


def _check_ips(addresses: tuple[str, ...]) -> None:
    """Addresses with or without a port, as balancers and resolvers are given."""
    for address in addresses:
        if not is_ip(parse_host_port(address, default_port=0).host):
            raise ValueError(f"{address!r} is not an IP address; write it as in 192.0.2.1 or 192.0.2.1:53")


def _check_networks(networks: tuple[str, ...]) -> None:
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ValueError(f"{error}; write a network as in 192.0.2.0/24 or 2001:db8::/32") from error


def _complete(config: Config, path: str) -> Config:
    """The configuration with nothing left to be guessed by those who use it."""
    base = os.path.dirname(path)
    server = _complete_server(config.server, base)
    submission, directory = config.submission, config.directory
    if directory is not None:
        data = directory.data_directory.replace(_NAME_HERE, server.name)
        directory = msgspec.structs.replace(directory, data_directory=data)
        directory = _absolute(DirectorySettings, directory, base)
    if not submission.drop_directory:
        drop = os.path.join(server.run_directory, "drop")
        submission = msgspec.structs.replace(submission, drop_directory=drop)
    return msgspec.structs.replace(
        config,
        path=path,
        server=server,
        heartbeat=_absolute(HeartbeatSettings, config.heartbeat, base),
        balancer=_absolute(BalancerSettings, config.balancer, base) if config.balancer is not None else None,
        directory=directory,
        tables=_absolute(TablesSettings, config.tables, base),
        submission=_absolute(SubmissionSettings, submission, base),
        store=_absolute_url(config.store, base),
    )


def _complete_server(server: ServerSettings, base: str) -> ServerSettings:
    directory = server.run_directory.replace(_NAME_HERE, server.name) or os.path.join("run", server.name)
    hostname = server.hostname.replace(_NAME_HERE, server.name) or qualified_name(server.name)
    return _absolute(ServerSettings, msgspec.structs.replace(server, run_directory=directory, hostname=hostname), base)


def qualified_name(name: str) -> str:
    """The fully qualified form of a server's name, as the resolver knows it, or else that of this host."""
    candidates = (socket.getfqdn(name), socket.getfqdn())
    return next((found for found in candidates if "." in found and not found.endswith(".arpa")), name)


def _absolute(cls: type[_Settings], settings: _Settings, base: str) -> _Settings:
    changed: dict[str, Any] = {}
    for name, setting in settings_of(cls).items():
        path = getattr(settings, name)
        if setting.extra.get("path") and path:
            changed[name] = os.path.normpath(os.path.join(base, path))
    return msgspec.structs.replace(settings, **changed)


def _absolute_url(store: StoreSettings, base: str) -> StoreSettings:
    """A store's `file:` URL may be relative too: `file:store`."""
    relative = _FILE_URL.fullmatch(store.url)
    if not relative:
        return store
    root = os.path.normpath(os.path.join(base, unquote(relative[1])))
    return msgspec.structs.replace(store, url=f"file://{quote(root)}")
