"""The replica of the directory that this server runs, as the configuration describes it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from nightmail.admin.replicas import directory_of, masters_told, secret_of, uri_of
from nightmail.config.settings import Config
from nightmail.directory.accounts import accounts_of
from nightmail.directory.certificates import write_certificates
from nightmail.directory.parts import Part
from nightmail.directory.replica import Database, Replica
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
    secret, directory = secret_of(settings), settings.data_directory
    numbers = {server: number for number, server in enumerate(sorted(config.replicas), 1)}
    os.makedirs(directory, mode=0o700, exist_ok=True)
    return Replica(
        number=numbers[name],
        directory=directory,
        suffix=settings.suffix,
        uri=uri_of(config, name),
        databases=tuple(_database(config, part, directory, numbers) for part in config.parts),
        is_gated=config.has_failover,
        accounts=accounts_of(secret),
        tls=write_certificates(directory, secret, name, parse_host_port(config.replicas[name]).host),
        schema=own_schema(),
        schema_directory=installation.schema_directory,
        module_directory=installation.module_directory,
        password_modules=installation.password_modules,
        room_bytes=settings.size_limit_mib << 20,
        uid=os.geteuid(),
        gid=os.getegid(),
        masters=masters_told(config),
    )


def _database(config: Config, part: Part, directory: str, numbers: Mapping[str, int]) -> Database:
    """Where the replica of this server keeps a part, and from whom it comes."""
    path, master = f"{directory}/entries-{part.site}" if part.site else f"{directory}/entries", config.master_of(part)
    everybody = tuple(numbers.values())  # who is the master may be changed, by itself or by who configures it
    if config.has_failover:
        return Database(
            base=part.base, site=part.site, path=path, writers=everybody
        )  # who is a shadow is told once it runs
    if master == config.server.name:
        return Database(base=part.base, site=part.site, path=path)
    return Database(base=part.base, site=part.site, path=path, provider=uri_of(config, master), writers=everybody)
