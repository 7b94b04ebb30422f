"""Trace fields: `Received`, which every hop adds, and `Return-Path`, which the last one does (RFC 5321 §4.4)."""

from __future__ import annotations

import re

from nightmail.mail.date import date_time

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9.:_\-\[\]]")
_is_path_text = re.compile(r"[ -~]{1,320}").fullmatch


class Trace:
    """Writes the Received field for the messages of one session."""

    def __init__(
        self,
        hostname: str,
        *,
        hello: str,
        client_address: str,
        extended: bool = True,
        lmtp: bool = False,
        tls: bool = False,
        authenticated: bool = False,
    ) -> None:
        """`client_address` is an IP address, or empty for a Unix socket; `extended`: the client said EHLO, not HELO."""
        name = _NOT_IN_A_NAME.sub("?", hello[:255]) or "unknown"
        literal = f" ({address_literal(client_address)})" if client_address else ""
        head = f"Received: from {name}{literal}\r\n\tby {hostname} (nightmail) with "
        security = ("S" if tls else "") + ("A" if authenticated else "")
        kind = "LMTP" if lmtp else "SMTP"
        # RFC 3848; a HELO has neither TLS nor AUTH. RFC 6531 §4.3: UTF8 takes the place of the E.
        self._plain = head + (f"{'' if lmtp else 'E'}{kind}{security}" if extended or lmtp else kind) + " id "
        self._utf8 = f"{head}UTF8{kind}{security} id "

    def header(self, message_id: str, recipient: str, now: float, *, smtputf8: bool = False) -> bytes:
        """The field for one message. `recipient` is the only one, or empty: who else has a copy is nobody's business.

        `smtputf8`: the message was sent with that parameter. `now` is seconds of `Clock.wall`.
        """
        head = self._utf8 if smtputf8 else self._plain
        return f"{head}{message_id}{_for(recipient, smtputf8)}; {date_time(now)}\r\n".encode()


def local_header(hostname: str, message_id: str, now: float, submitter: str = "") -> bytes:
    """The Received field of a message that came from this machine: from the system itself, or from a user's program."""
    origin = f", from user {_NOT_IN_A_NAME.sub('?', submitter[:64])}" if submitter else ""
    return f"Received: by {hostname} (nightmail{origin})\r\n\tid {message_id}; {date_time(now)}\r\n".encode("ascii")


def address_literal(ip: str) -> str:
    """`[127.0.0.1]` or `[IPv6:::1]` (RFC 5321 §4.1.3), without the zone."""
    host = _NOT_IN_A_NAME.sub("?", ip.partition("%")[0])
    return f"[IPv6:{host}]" if ":" in host else f"[{host}]"


def _for(recipient: str, smtputf8: bool) -> str:
    """The clause that names the recipient, on a line of its own; nothing where its characters don't belong there."""
    if not recipient:
        return ""
    if _is_path_text(recipient) or (smtputf8 and recipient.isprintable() and len(recipient) <= 320):
        return f"\r\n\tfor <{recipient}>"
    return ""
