"""Why an encrypted connection can't be had, in words: libldap knows, and does not say it."""

from __future__ import annotations

import socket
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

_PORTS = {"ldap": 389, "ldaps": 636}
_START_TLS = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
"""The request to go on with TLS, as the first message of a connection (RFC 4511 §4.14.1)."""
_MOST = 4096
_FOREIGN = frozenset({7, 18, 19, 20, 21})
"""X509_V_ERR_*: the signature is not its authority's; it signed itself, or that did; its authority is not to be had."""


class Distrust(NamedTuple):
    """What is wrong with a certificate, in words; `is_foreign`: another authority than ours made it."""

    words: str
    is_foreign: bool


def why_not_encrypted(uri: str, authority: str, timeout_s: float) -> Distrust | None:
    """What is wrong with the certificate of the server at `uri`; None if that is not what is wrong. Blocks."""
    parts = urlsplit(uri)
    host = parts.hostname or "localhost"
    try:
        context = ssl.create_default_context(cafile=authority)
        with socket.create_connection((host, parts.port or _PORTS[parts.scheme]), timeout_s) as connection:
            if parts.scheme == "ldap":
                connection.sendall(_START_TLS)
                connection.recv(_MOST)
            with context.wrap_socket(connection, server_hostname=host):
                return None
    except ssl.SSLCertVerificationError as error:
        words = f"its certificate is not to be trusted: {error.verify_message}"
        return Distrust(words, error.verify_code in _FOREIGN)
    except (OSError, KeyError, ValueError):  # something else is wrong, and has been said
        return None
