"""The replicas of the directory that a configuration names: what each is, where it is, and how one gets in."""

from __future__ import annotations

import os

from nightmail.config.secret import read_secret
from nightmail.config.settings import Config
from nightmail.directory.accounts import account, accounts_of
from nightmail.directory.certificates import write_certificates
from nightmail.directory.replica import Replica
from nightmail.directory.sessions import Access
from nightmail.directory.settings import DirectorySettings
from nightmail.directory.slapd import Installation, own_schema
from nightmail.errors import ConfigInvalid
from nightmail.net.addresses import parse_host_port


def directory_of(config: Config) -> DirectorySettings:
    """What the configuration says of its directory. Raises: ConfigInvalid: nothing."""
    if config.directory is None:
        raise ConfigInvalid(config.path, "there is no [directory]", "mail is routed by [tables] here")
    return config.directory


def secret_of(settings: DirectorySettings) -> bytes:
    """The secret that all servers share. Raises: ConfigInvalid: it is none."""
    return read_secret(settings.secret_file, "[directory] secret_file")


def access_of(settings: DirectorySettings, name: str, authority: str) -> Access:
    """How one gets into a replica as the account `name`; `authority` is the file with whom to trust.

    Raises:
        ConfigInvalid: the secret is none.
    """
    password = getattr(accounts_of(secret_of(settings)), name)
    return Access(name=account(name, settings.suffix), password=password, authority=authority)


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
    os.makedirs(directory, mode=0o700, exist_ok=True)
    return Replica(
        number=[*config.replicas].index(name) + 1,
        directory=directory,
        suffix=settings.suffix,
        uri=uri_of(config, name),
        provider=uri_of(config, config.master) if name != config.master else "",
        accounts=accounts_of(secret),
        tls=write_certificates(directory, secret, name, parse_host_port(config.replicas[name]).host),
        schema=own_schema(),
        schema_directory=installation.schema_directory,
        module_directory=installation.module_directory,
        uid=os.geteuid(),
        gid=os.getegid(),
    )


def uri_of(config: Config, server: str) -> str:
    """The URI of a server's replica."""
    return f"ldap://{config.replicas[server]}"


def replica_uris(config: Config) -> list[str]:
    """The URIs of all replicas, this server's own first."""
    return [uri_of(config, name) for name in sorted(config.replicas, key=lambda name: name != config.server.name)]
