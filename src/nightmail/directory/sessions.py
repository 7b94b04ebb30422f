"""Connections to a replica as libldap makes them: encrypted, bound, and with nothing that waits without a limit."""

from __future__ import annotations

from typing import Any

import ldap
import msgspec

from nightmail.directory.diagnosis import why_not_encrypted
from nightmail.directory.tree import Item
from nightmail.errors import DirectoryUnavailable

_KEEPALIVE_S = 60


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How a replica is reached: who we are to it, and the file with the authority that we trust.

    Without a `name`, whoever the Unix socket or our `certificate` says (SASL EXTERNAL). Nothing but a Unix socket is
    spoken to unencrypted where there is an `authority`. Who was refused tries again after `refused_for_s`, no sooner.
    """

    name: str = ""
    password: str = ""
    authority: str = ""
    certificate: str = ""
    key: str = ""
    timeout_s: float = 2.0
    refused_for_s: float = 0.0

    def __repr__(self) -> str:
        return f"Access({self.name!r})"


class Refused(DirectoryUnavailable):
    """The replica does not know us, or not by this password."""


def open_session(uri: str, access: Access) -> Any:
    """A bound session. Blocks for up to six times `timeout_s`: this is for a thread.

    Raises:
        Refused: the replica does not let us in.
        DirectoryUnavailable: it does not answer in time.
    """
    try:
        return _bind(uri, access)
    except ldap.INVALID_CREDENTIALS as error:
        raise Refused(f"{uri}: {words(error)}") from error
    except ldap.LDAPError as error:
        raise DirectoryUnavailable(f"{uri}: {_why(error, uri, access) or words(error)}") from error
    except (OSError, ValueError) as error:  # an option that can't be set, such as an authority that can't be read
        raise DirectoryUnavailable(f"{uri}: {error}") from error


def _why(error: ldap.LDAPError, uri: str, access: Access) -> str:
    """What is wrong with the server's certificate, where that may be it: then libldap says less."""
    may_be = isinstance(error, ldap.CONNECT_ERROR) or (isinstance(error, ldap.SERVER_DOWN) and uri.startswith("ldaps:"))
    return why_not_encrypted(uri, access.authority, access.timeout_s) if may_be and access.authority else ""


def _bind(uri: str, access: Access) -> Any:
    session = ldap.initialize(uri)
    session.set_option(ldap.OPT_PROTOCOL_VERSION, ldap.VERSION3)
    session.set_option(ldap.OPT_REFERRALS, 0)
    session.set_option(ldap.OPT_NETWORK_TIMEOUT, access.timeout_s)
    session.set_option(ldap.OPT_TIMEOUT, access.timeout_s)
    session.set_option(ldap.OPT_X_KEEPALIVE_IDLE, _KEEPALIVE_S)  # what lies between forgets a connection that is silent
    if access.authority and not uri.startswith("ldapi:"):
        session.set_option(ldap.OPT_X_TLS_CACERTFILE, access.authority)
        session.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
        if access.certificate:
            session.set_option(ldap.OPT_X_TLS_CERTFILE, access.certificate)
            session.set_option(ldap.OPT_X_TLS_KEYFILE, access.key)
        session.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
        if uri.startswith("ldap:"):
            session.start_tls_s()
    if access.name:
        session.simple_bind_s(access.name, access.password)
    else:
        session.sasl_external_bind_s()
    return session


def item_of_answer(dn: str, values: dict[str, list[bytes]]) -> Item:
    """An entry as it was read."""
    return Item(dn, {attribute.lower(): texts for attribute, texts in text_of_values(values).items()})


def text_of_values(values: dict[str, list[bytes]]) -> dict[str, tuple[str, ...]]:
    """Values as text; what is none can be turned back into what it was."""
    return {name: tuple(value.decode("utf-8", "surrogateescape") for value in each) for name, each in values.items()}


def words(error: Exception) -> str:
    """What libldap says, in one line: never what we sent."""
    details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    said = [str(details[key]) for key in ("desc", "info") if details.get(key)]
    return ": ".join(said) or type(error).__name__
