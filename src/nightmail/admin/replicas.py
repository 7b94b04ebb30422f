"""The replicas of the directory that a configuration names: where each is, and how one gets in."""

from __future__ import annotations

import os

from nightmail.admin.external import external_access, is_external
from nightmail.config.secret import read_secret
from nightmail.config.settings import Config
from nightmail.directory.accounts import account, accounts_of
from nightmail.directory.parts import Part
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
    return Access(
        name=account(name, settings.suffix), password=password, authority=authority, secret_file=settings.secret_file
    )


def uri_of(config: Config, server: str) -> str:
    """The URI of a server's replica."""
    return f"ldap://{config.replicas[server]}"


def master_for_good(config: Config, part: Part) -> str:
    """The URI of the replica that takes writes to a part, where that is one for good; else empty."""
    if config.directory is None or is_external(config.directory) or config.has_failover:
        return ""
    return uri_of(config, config.master_of(part))


def masters_told(config: Config) -> dict[Part, str]:
    """The servers that take writes to the parts, as this server's file has it; none where that is no file's to say."""
    if config.directory is None or is_external(config.directory) or config.has_failover:
        return {}
    return {part: config.master_of(part) for part in config.parts}


def replica_uris(config: Config) -> list[str]:
    """The URIs of all replicas, this server's own first, then those at its site."""
    if config.directory is not None and is_external(config.directory):
        return [*config.directory.uris]
    own = config.server.name
    ordered = sorted(config.replicas, key=lambda name: (name != own, config.site_of(name) != config.site_of(own)))
    return [uri_of(config, name) for name in ordered]


def near_uris(config: Config) -> list[str]:
    """The URIs of the replicas at this server's site, where each site has its part of the directory; else of none."""
    if not any(part.site for part in config.parts):
        return []
    site = config.site_of(config.server.name)
    return [uri_of(config, name) for name in config.replicas if config.site_of(name) == site]
