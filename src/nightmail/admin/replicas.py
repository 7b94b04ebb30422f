"""The replicas of the directory that a configuration names: where each is, and how one gets in."""

from __future__ import annotations

import os

from nightmail.admin.external import external_access, is_external
from nightmail.config.secret import read_secret
from nightmail.config.settings import Config
from nightmail.directory.accounts import account, accounts_of
from nightmail.directory.sessions import Access
from nightmail.directory.settings import DirectorySettings
from nightmail.errors import ConfigInvalid

_AUTHORITY = "directory-authority.pem"


def directory_of(config: Config) -> DirectorySettings:
    """What the configuration says of its directory. Raises: ConfigInvalid: nothing."""
    if config.directory is None:
        raise ConfigInvalid(config.path, "there is no [directory]", "mail is routed by [tables] here")
    return config.directory


def secret_of(settings: DirectorySettings) -> bytes:
    """The secret that all servers share. Raises: ConfigInvalid: it is none."""
    return read_secret(settings.secret_file, "[directory] secret_file")


def authority_of(config: Config) -> str:
    """The file in which this server's processes find whom to trust; the supervisor writes it."""
    return os.path.join(config.server.run_directory, _AUTHORITY)


def access_of(settings: DirectorySettings, name: str, authority: str) -> Access:
    """How one gets into a replica as the account `name`; `authority` is the file with whom to trust.

    Raises:
        ConfigInvalid: the secret is none.
    """
    if is_external(settings):
        return external_access(settings)
    password = getattr(accounts_of(secret_of(settings)), name)
    return Access(name=account(name, settings.suffix), password=password, authority=authority)


def uri_of(config: Config, server: str) -> str:
    """The URI of a server's replica."""
    return f"ldap://{config.replicas[server]}"


def master_for_good(config: Config) -> str:
    """The URI of the replica that takes writes, where that is one for good; else empty."""
    if config.directory is None or config.directory.topology != "single-master":
        return ""
    return uri_of(config, config.master)


def replica_uris(config: Config) -> list[str]:
    """The URIs of all replicas, this server's own first."""
    if config.directory is not None and is_external(config.directory):
        return [*config.directory.uris]
    return [uri_of(config, name) for name in sorted(config.replicas, key=lambda name: name != config.server.name)]
