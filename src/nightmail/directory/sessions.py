"""Connections to a replica as libldap makes them: encrypted, bound, and with nothing that waits without a limit."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

import ldap
import msgspec

from nightmail.directory.tree import Item
from nightmail.errors import DirectoryUnavailable

# Room for all requests that may be under way: where one does not fit, libldap takes the next one for an error.
_SEND_BUFFER_BYTES = 256 << 10


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How a replica is reached: who we are to it, and the file with the authority that we trust.

    Without a `name`, whoever the Unix socket says (SASL EXTERNAL).
    """

    name: str = ""
    password: str = ""
    authority: str = ""
    timeout_s: float = 2.0

    def __repr__(self) -> str:
        return f"Access({self.name!r})"


def open_session(uri: str, access: Access) -> Any:
    """A bound session. Blocks for up to four times `timeout_s`, beside a slow resolver's time: this is for a thread.

    Raises:
        DirectoryUnavailable: the replica does not answer in time, or does not let us in.
    """
    try:
        if not uri.startswith("ldap:"):
            return _bind(ldap.initialize(uri), uri, access)
        return _bind_in_time(uri, access)
    except ldap.CONNECT_ERROR as error:  # libldap says no more than that
        wrong = f"no TLS with it: {words(error)}; its certificate may be of another secret_file, host or time"
        raise DirectoryUnavailable(f"{uri}: {wrong}") from error
    except ldap.LDAPError as error:
        raise DirectoryUnavailable(f"{uri}: {words(error)}") from error
    except OSError as error:
        raise DirectoryUnavailable(f"{uri}: {error.strerror or error}") from error
    except ValueError as error:  # an option that can't be set, such as an authority that can't be read
        raise DirectoryUnavailable(f"{uri}: {error}") from error


def _bind_in_time(uri: str, access: Access) -> Any:
    """Bind on a connection of ours, which is ended when it takes too long.

    libldap keeps no time limit while TLS begins: where nothing comes, it asks the socket again and again, without end.
    """
    place = urlsplit(uri)
    connection = socket.create_connection((place.hostname, place.port or ldap.PORT), access.timeout_s)
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    with connection.dup() as ours:
        limit = threading.Timer(3 * access.timeout_s, _end, [ours])
        limit.daemon = True
        limit.start()
        try:
            return _bind(_session_on(connection, uri), uri, access)
        finally:
            limit.cancel()
            limit.join()


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
    if access.authority:
        session.set_option(ldap.OPT_X_TLS_CACERTFILE, access.authority)
        session.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
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
