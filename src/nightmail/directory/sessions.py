"""Connections to a replica as libldap makes them: encrypted, bound, and with nothing that waits without a limit."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import ldap
import msgspec

from nightmail.directory.diagnosis import why_not_encrypted
from nightmail.directory.tree import Item
from nightmail.errors import DirectoryUnavailable

# Room for all requests that may be under way: where one does not fit, libldap takes the next one for an error.
_SEND_BUFFER_BYTES = 256 << 10
_TLS_PORT = 636
_REMEDY = "copy [directory] secret_file of a server that has the right one to the one that has not, and restart that"
_KEEPALIVE_S = 60
"""What lies between forgets a connection that is silent."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How a replica is reached: who we are to it, and the file with the authority that we trust.

    Without a `name`, whoever the Unix socket or our `certificate` says (SASL EXTERNAL). Nothing but a Unix socket is
    spoken to unencrypted where there is an `authority`. Who was refused tries again after `refused_for_s`, no sooner.
    `secret_file` is the one from which password and authority were made, at a replica that nightmail runs.
    """

    name: str = ""
    password: str = ""
    authority: str = ""
    certificate: str = ""
    key: str = ""
    timeout_s: float = 2.0
    refused_for_s: float = 0.0
    secret_file: str = ""

    def __repr__(self) -> str:
        return f"Access({self.name!r})"


class Refused(DirectoryUnavailable):
    """The replica does not know us, or not by this password."""


class OtherSecret(DirectoryUnavailable):
    """The replica answers, and its server has another secret than we have."""


class NothingShown(DirectoryUnavailable):
    """A server answers, and there is nobody to be seen."""


Outcome = Literal["ok", "unreachable", "refused", "another secret", "shows nobody"]
_OUTCOMES: Mapping[type[Exception], Outcome] = {
    Refused: "refused",
    OtherSecret: "another secret",
    NothingShown: "shows nobody",
}


def outcome_of(error: Exception) -> Outcome:
    """What came of asking a server, in a word, where this is why it can't be asked."""
    return _OUTCOMES.get(type(error), "unreachable")


def first_to_mend(errors: Iterable[DirectoryUnavailable]) -> DirectoryUnavailable:
    """The first of these that a person has to mend, else the first, which may pass by itself."""
    return min(errors, key=lambda error: outcome_of(error) == "unreachable")


def joined(errors: Sequence[DirectoryUnavailable]) -> DirectoryUnavailable:
    """One error that says what all of these do, of the kind of what a person has to mend, if there is such a one."""
    return type(first_to_mend(errors))("; ".join(map(str, errors)))


def open_session(uri: str, access: Access) -> Any:
    """A bound session. Blocks for up to seven times `timeout_s`, beside a slow resolver's time: this is for a thread.

    Raises:
        Refused: a server that is not ours does not let us in.
        OtherSecret: a replica was made with another secret.
        DirectoryUnavailable: it does not answer in time, or is a replica that does not know us yet.
    """
    begin = _BEGINNINGS.get(urlsplit(uri).scheme, _bind_at)
    try:
        return begin(uri, access)
    except ldap.INVALID_CREDENTIALS as error:
        if access.secret_file:  # it has the certificate that we trust
            why = "it has no entries yet, or they were made with another suffix or another secret"
            raise DirectoryUnavailable(f"{uri}: {why}: {words(error)}") from error
        see = "see bind_dn and password_file" if access.name else "see certificate_file and key_file"
        raise Refused(f"{uri}: {words(error)}: {see}") from error
    except ldap.LDAPError as error:
        raise _fault_of(error, uri, access) from error
    except OSError as error:
        raise DirectoryUnavailable(f"{uri}: {error.strerror or error}") from error
    except ValueError as error:  # an option that can't be set, such as an authority that can't be read
        raise DirectoryUnavailable(f"{uri}: {error}") from error


def _fault_of(error: ldap.LDAPError, uri: str, access: Access) -> DirectoryUnavailable:
    """Why it can't be asked. It is looked why there is no TLS with it, where that may be it: libldap says less."""
    may_be = isinstance(error, ldap.CONNECT_ERROR) or (isinstance(error, ldap.SERVER_DOWN) and uri.startswith("ldaps:"))
    distrust = why_not_encrypted(uri, access.authority, access.timeout_s) if may_be and access.authority else None
    if distrust is None:
        return DirectoryUnavailable(f"{uri}: {words(error)}")
    if distrust.is_foreign and access.secret_file:
        why = f"its secret differs from the one in {access.secret_file} here"
        return OtherSecret(f"{uri}: {why}: {_REMEDY}")
    return DirectoryUnavailable(f"{uri}: {distrust.words}")


def _bind_in_time(uri: str, access: Access) -> Any:
    """Bind on a connection of ours, which is ended when it takes too long.

    libldap keeps no time limit while TLS begins: where nothing comes, it asks the socket again and again, without end.
    """
    connection = _connected(uri, ldap.PORT, access)
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
    with connection.dup() as ours:
        limit = threading.Timer(3 * access.timeout_s, _end, [ours])
        limit.daemon = True
        limit.start()
        try:
            return _bind(_session_on(connection, uri), uri, access)
        finally:
            limit.cancel()
            limit.join()


def _bind_past_tls(uri: str, access: Access) -> Any:
    """Bind where TLS comes first, once it was seen that it begins in time.

    libldap begins none on a connection of ours, so that nobody else could end it. Told not to wait for connections it
    keeps a time limit until the first answer comes, and takes no processor: that is for a server that hangs just now.
    """
    _see_tls_begin(uri, access)
    session = ldap.initialize(uri)
    session.set_option(ldap.OPT_CONNECT_ASYNC, 1)
    return _bind(session, uri, access)


def _see_tls_begin(uri: str, access: Access) -> None:
    """Raises: OSError, DirectoryUnavailable: nobody answers in time. Whom to believe is for libldap to judge."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with _connected(uri, _TLS_PORT, access) as connection:
        try:
            context.wrap_socket(connection, server_hostname=urlsplit(uri).hostname).close()
        except ssl.SSLError:
            return  # libldap will find it, too
        except TimeoutError as error:
            raise DirectoryUnavailable(f"{uri}: TLS does not begin within {access.timeout_s:g} s") from error


def _bind_at(uri: str, access: Access) -> Any:
    return _bind(ldap.initialize(uri), uri, access)


_BEGINNINGS = {"ldap": _bind_in_time, "ldaps": _bind_past_tls}


def _connected(uri: str, port: int, access: Access) -> socket.socket:
    place = urlsplit(uri)
    return socket.create_connection((place.hostname, place.port or port), access.timeout_s)


def _session_on(connection: socket.socket, uri: str) -> Any:
    """A session on a connection, which belongs to libldap from then on."""
    try:
        session = ldap.initialize(uri, fileno=connection)
    except BaseException:
        connection.close()
        raise
    connection.detach()
    return session


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended already
        connection.shutdown(socket.SHUT_RDWR)


def _bind(session: Any, uri: str, access: Access) -> Any:
    session.set_option(ldap.OPT_PROTOCOL_VERSION, ldap.VERSION3)
    session.set_option(ldap.OPT_REFERRALS, 0)
    session.set_option(ldap.OPT_NETWORK_TIMEOUT, access.timeout_s)
    session.set_option(ldap.OPT_TIMEOUT, access.timeout_s)
    session.set_option(ldap.OPT_X_KEEPALIVE_IDLE, _KEEPALIVE_S)
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
    with socket.socket(fileno=os.dup(session.fileno())) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    return session


def wait_in_time(session: Any, timeout_s: float) -> None:
    """Have sending wait for room and reading for the rest, for so long at most: libldap would fail at once instead."""
    limit = struct.pack("@ll", int(timeout_s), int(timeout_s % 1 * 1e6))
    with socket.socket(fileno=os.dup(session.fileno())) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        connection.setblocking(True)


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
    if _is_about_something_else(error, details):
        said = said[:1]
    return ": ".join(said) or type(error).__name__


def _is_about_something_else(error: Exception, details: dict[str, Any]) -> bool:
    """Whether libldap explains an error of its own by the system's last one, which has only to do with connections."""
    is_its_own = details.get("result", 0) < 0 and not isinstance(error, ldap.SERVER_DOWN | ldap.CONNECT_ERROR)
    return is_its_own and details.get("info") == os.strerror(details.get("errno", 0))
