"""Which settings of a directory go together: those of one that nightmail runs, or those of one that it only reads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nightmail.directory.settings import DirectorySettings

_VALUE = r"[^,+=\\\"<>;#]+"
_OWN_SUFFIX = re.compile(rf"(?:dc|o|ou)={_VALUE}(?:,[A-Za-z]+={_VALUE})*")
_SUFFIX = re.compile(r"[A-Za-z0-9.-]+=(?:[^,+\\\"<>;]|\\.)+(?:[,+] *[A-Za-z0-9.-]+=(?:[^,+\\\"<>;]|\\.)+)*")
_URI = re.compile(r"ldaps?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?/?|ldapi://(?:%2[Ff][^/?]+)?/?")
_SITE = re.compile(r"[A-Za-z0-9-]{1,63}")
_OF_REPLICAS = ("first_master", "masters", "secret_file")
_OF_ANOTHER = ("uris", "bind_dn", "password_file", "authority_file", "certificate_file", "key_file", "mapping")


def check_topology(settings: DirectorySettings) -> None:
    """Raises: ValueError: they don't go together; it says which, and what would be right."""
    if settings.topology == "external":
        _check_external(settings)
    else:
        _check_replicas(settings)


def _check_replicas(settings: DirectorySettings) -> None:
    if not _OWN_SUFFIX.fullmatch(settings.suffix):
        raise ValueError("suffix is not the name of a directory's top; write it as in dc=example,dc=org or o=example")
    for name in ("secret_file", "data_directory"):
        if not getattr(settings, name):
            raise ValueError(f"has no {name}; write {name} = ..., text in quotes")
    for name in _OF_ANOTHER:
        if getattr(settings, name):
            raise ValueError(
                f'has {name}, which is for a directory that nightmail does not run; write topology = "external"'
            )
    if settings.schema != "nightmail":
        raise ValueError(
            'has a schema, which is for a directory that nightmail does not run; write topology = "external"'
        )
    _check_masters(settings)


def _check_masters(settings: DirectorySettings) -> None:
    if settings.topology != "multi-site":
        if settings.masters:
            raise ValueError('has masters, which are for several sites; write topology = "multi-site", or first_master')
        return
    if settings.first_master:
        raise ValueError('has a first_master, and each site has its own; write masters = {SITE = "SERVER", ...}')
    if not settings.masters:
        raise ValueError('has no masters; write masters = {SITE = "SERVER", ...}, whose replica takes a site\'s writes')
    for site in settings.masters:
        if not _SITE.fullmatch(site):
            raise ValueError(f"masters: {site!r} can't be the name of a site; it is made of letters, digits and -")
    names = [site.casefold() for site in settings.masters]
    if len({*names}) < len(names):
        raise ValueError(
            "masters: two sites have names that differ in case alone; name them so that nobody mixes them up"
        )


def _check_external(settings: DirectorySettings) -> None:
    for name in _OF_REPLICAS:
        if getattr(settings, name):
            raise ValueError(
                f'has {name}, which is for replicas that nightmail runs; take it out, with topology = "external"'
            )
    if not _SUFFIX.fullmatch(settings.suffix):
        raise ValueError("suffix is not the name of an entry; write it as in dc=example,dc=com")
    if not settings.uris:
        raise ValueError('has no uris; write uris = ["ldaps://HOST"]')
    for uri in settings.uris:
        if not _URI.fullmatch(uri):
            raise ValueError("has a URI that is none; write it as in ldaps://ldap.example.com or ldap://192.0.2.1:389")
    _check_account(settings)
    if settings.mapping is not None and settings.schema == "nightmail":
        raise ValueError("has a mapping and no schema that it could change; write schema = ... beside it")


def _check_account(settings: DirectorySettings) -> None:
    if bool(settings.certificate_file) != bool(settings.key_file):
        missing = "key_file" if settings.certificate_file else "certificate_file"
        raise ValueError(f"has no {missing}; a certificate and its key go together")
    if settings.bind_dn:
        if not settings.password_file:
            raise ValueError("has bind_dn and no password_file; it names the file with the account's password")
    elif settings.password_file:
        raise ValueError("has password_file and no bind_dn; name the account")
    elif not settings.certificate_file and not all(uri.startswith("ldapi:") for uri in settings.uris):
        right = "write bind_dn and password_file, or certificate_file and key_file"
        raise ValueError(f"does not say who asks; {right}")
