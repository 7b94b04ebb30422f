"""The replica of the directory that this server runs, as the configuration describes it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from nightmail.admin.replicas import directory_of, secret_of, uri_of
from nightmail.config.settings import Config
from nightmail.directory.accounts import accounts_of
from nightmail.directory.certificates import write_certificates
from nightmail.directory.replica import Replica
from nightmail.directory.slapd import Installation, own_schema
from nightmail.errors import ConfigInvalid
from nightmail.net.addresses import parse_host_port


def replica_of(config: Config, installation: Installation) -> Replica:
    """The replica that `config`'s server runs, with its directory made and its certificates in it.

    Raises:
        ConfigInvalid: it runs none, or the secret is none.
        OSError: they can't be written.
    """
    settings, name = directory_of(config), config.server.name
    if name not in config.replicas:
        raise ConfigInvalid(
            f"{config.path}: [servers.{name}]", "it has no replica of the directory", 'write directory = "host:port"'
        )
    is_shadow = name != config.master and not config.has_failover  # who is one there is told once it runs
    secret, directory = secret_of(settings), settings.data_directory
    numbers = {server: number for number, server in enumerate(sorted(config.replicas), 1)}
    os.makedirs(directory, mode=0o700, exist_ok=True)
    return Replica(
        number=numbers[name],
        directory=directory,
        suffix=settings.suffix,
        uri=uri_of(config, name),
        provider=uri_of(config, config.master) if is_shadow else "",
        is_gated=config.has_failover,
        writers=_writers(config, numbers),
        accounts=accounts_of(secret),
        tls=write_certificates(directory, secret, name, parse_host_port(config.replicas[name]).host),
        schema=own_schema(),
        schema_directory=installation.schema_directory,
        module_directory=installation.module_directory,
        password_modules=installation.password_modules,
        room_bytes=settings.size_limit_mib << 20,
        uid=os.geteuid(),
        gid=os.getegid(),
    )


def _writers(config: Config, numbers: Mapping[str, int]) -> tuple[int, ...]:
    """Whose changes the replica of this server takes: the master's, or anybody's where that role moves."""
    if config.has_failover:
        return tuple(numbers.values())
    return (numbers[config.master],) if config.server.name != config.master else ()
