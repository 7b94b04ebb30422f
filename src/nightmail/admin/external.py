"""A directory that is not ours, as a configuration names it: how one gets in, and how its entries are read."""

from __future__ import annotations

import asyncio
import os
from functools import partial

from nightmail.config.secret import read_password, read_private
from nightmail.directory.external import ExternalChanges
from nightmail.directory.external_standing import ServerStanding, look_at_server
from nightmail.directory.feed import ChangeFeed
from nightmail.directory.link import MakeFeed
from nightmail.directory.mapping import ForeignSchema
from nightmail.directory.mapping_settings import mapping_of
from nightmail.directory.schemas import OWN, Schema
from nightmail.directory.sessions import Access
from nightmail.directory.settings import DirectorySettings
from nightmail.errors import ConfigInvalid

_REFUSED_FOR_S = 60.0
"""Accounts are locked after a few wrong passwords."""
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Where distributions keep the authorities that the system trusts."""


def is_external(settings: DirectorySettings) -> bool:
    """Whether the directory is one that nightmail does not run."""
    return settings.topology == "external"


def external_access(settings: DirectorySettings) -> Access:
    """How one gets in.

    Raises:
        ConfigInvalid: a file that is needed for it can't be used.
    """
    if settings.key_file:
        read_private(settings.key_file, "[directory] key_file", "name the file with the key of certificate_file")
        _check_readable(settings.certificate_file, "certificate_file")
    password = read_password(settings.password_file, "[directory] password_file") if settings.password_file else ""
    return Access(
        name=settings.bind_dn,
        password=password,
        authority=_authority(settings),
        certificate=settings.certificate_file,
        key=settings.key_file,
        refused_for_s=_REFUSED_FOR_S,
    )


def schema_of(settings: DirectorySettings) -> Schema:
    """What entries of people and lists look like."""
    if settings.schema == "nightmail":
        return OWN
    return ForeignSchema(mapping_of(settings.schema, settings.mapping))


def changes_of(settings: DirectorySettings) -> MakeFeed:
    """How one hears of changes of single entries."""
    return partial(ExternalChanges, poll_interval_s=settings.poll_interval_s) if is_external(settings) else ChangeFeed


def look_at_servers(settings: DirectorySettings) -> list[ServerStanding]:
    """How each server stands. Blocks. Raises: ConfigInvalid: nobody could get in so."""
    access, schema = external_access(settings), schema_of(settings)

    async def look() -> list[ServerStanding]:
        looks = (look_at_server(uri, access, settings.suffix, schema) for uri in settings.uris)
        return [*await asyncio.gather(*looks)]

    return asyncio.run(look())


def _authority(settings: DirectorySettings) -> str:
    if settings.authority_file:
        _check_readable(settings.authority_file, "authority_file")
        return settings.authority_file
    found = next((path for path in _BUNDLES if os.path.exists(path)), "")
    if not found and not all(uri.startswith("ldapi:") for uri in settings.uris):
        wrong = "this system has no list of authorities where it is usual"
        raise ConfigInvalid("[directory]", wrong, "install ca-certificates, or write authority_file")
    return found


def _check_readable(path: str, setting: str) -> None:
    try:
        with open(path, "rb"):
            return
    except OSError as error:
        place = f"[directory] {setting} {path}"
        raise ConfigInvalid(place, os.strerror(error.errno or 0), "name a PEM file that the server can read") from error
