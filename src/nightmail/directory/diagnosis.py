"""Why an encrypted connection can't be had, in words: libldap knows, and does not say it."""

from __future__ import annotations

import socket
import ssl
from urllib.parse import urlsplit

_PORTS = {"ldap": 389, "ldaps": 636}
_START_TLS = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
"""The request to go on with TLS, as the first message of a connection (RFC 4511 §4.14.1)."""
_MOST = 4096


def why_not_encrypted(uri: str, authority: str, timeout_s: float) -> str:
    """What is wrong with the certificate of the server at `uri`; empty if that is not what is wrong. Blocks."""
    parts = urlsplit(uri)
    host = parts.hostname or "localhost"
    try:
        context = ssl.create_default_context(cafile=authority)
        with socket.create_connection((host, parts.port or _PORTS[parts.scheme]), timeout_s) as connection:
            if parts.scheme == "ldap":
                connection.sendall(_START_TLS)
                connection.recv(_MOST)
            with context.wrap_socket(connection, server_hostname=host):
                return ""
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not to be trusted: {error.verify_message}"
    except (OSError, KeyError, ValueError):  # something else is wrong, and has been said
        return ""
