"""What a local program hands to `sendmail`: turned into a message, completed, and read for its recipients."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.errors import InvalidHeaderDefect, MessageError, NonASCIILocalPartDefect, ObsoleteHeaderDefect
from email.headerregistry import Address, HeaderRegistry
from email.utils import formataddr
from typing import Any

from nightmail.mail.date import date_time
from nightmail.mail.headers import field, fields, printable

_RECIPIENT_FIELDS = ("to", "cc", "bcc")
_BLIND_FIELDS = {"bcc", "resent-bcc"}
_MBOX_LINE = re.compile(rb">?From [^\n]*\n")
_is_local_part = re.compile(r"""[^\s"(),:;<>@\[\\\]]+|"(?:[^"\\]|\\.)+\"""").fullmatch
_is_domain = re.compile(r"""\[[^\s\[\]\\]+\]|[^\s"(),:;<>@\[\\\]]+""").fullmatch
_NO_DOMAIN = "addr-spec local part with no domain"


def as_message(text: bytes) -> bytes:
    """`text` with every line ended by CRLF, without the `From ` line of a mailbox file before its header."""
    mbox_line = _MBOX_LINE.match(text)
    lines = text[mbox_line.end() if mbox_line else 0 :].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if lines and not lines.endswith(b"\n"):
        lines += b"\n"
    return lines.replace(b"\n", b"\r\n")


def missing_fields(message: bytes, *, sender: str, full_name: str, hostname: str, message_id: str, now: float) -> bytes:
    """The lines to put before `message` so that it has Date, Message-ID and From (RFC 5322 §3.6).

    Where it has no header at all they end with a blank line. `now` is seconds of `Clock.wall`.
    """
    present = {name for name, *_ in fields(message)}
    lines = []
    if "from" not in present:
        lines.append(_from_field(sender or f"MAILER-DAEMON@{hostname}", full_name))
    if "date" not in present:
        lines.append(field("Date", date_time(now)))
    if "message-id" not in present:
        lines.append(field("Message-ID", f"<{message_id}@{hostname}>"))
    if not present and not message.startswith(b"\r\n"):
        lines.append(b"\r\n")
    return b"".join(lines)


def header_recipients(message: bytes) -> list[str]:
    """The addresses in To, Cc and Bcc, each once; of a resent message those of its Resent- fields (RFC 5322 §3.6.6).

    An address without a domain is given back as it is.

    Raises:
        ValueError: a field can't be understood; says which and why. Nobody is left out in silence.
    """
    found = [(name, value) for name, value, *_ in fields(message)]
    prefix = "resent-" if any(name == f"resent-{kind}" for name, _ in found for kind in _RECIPIENT_FIELDS) else ""
    wanted = {prefix + kind for kind in _RECIPIENT_FIELDS}
    addresses = (address for name, value in found if name in wanted for address in _addresses(name, value))
    return list(dict.fromkeys(addresses))


def without_bcc(message: bytes) -> bytes:
    """The message without its Bcc and Resent-Bcc fields."""
    kept, position = [], 0
    for name, _, start, end in fields(message):
        if name in _BLIND_FIELDS:
            kept.append(message[position:start])
            position = end
    return b"".join([*kept, message[position:]])


def _from_field(sender: str, full_name: str) -> bytes:
    """The author, by name where the name and the address can be written together."""
    sender, full_name = printable(sender, 320), printable(full_name, 200)
    if sender.isascii() and full_name:
        return field("From", formataddr((full_name, sender)))
    return field("From", f"<{sender}>" if not sender.isascii() else sender, utf8=True)


def _addresses(name: str, raw: bytes) -> Iterator[str]:
    value = " ".join(raw.decode("utf-8", "replace").split())
    try:
        # Any: the registry makes the header's class as it goes.
        parsed: Any = HeaderRegistry()("To", value)
        for defect in parsed.defects:
            _refuse_unless_harmless(defect)
        yield from map(_address, parsed.addresses)
    except (MessageError, LookupError, ValueError, AttributeError, TypeError, RecursionError) as error:
        # The parser of the standard library answers some nonsense with errors of any kind.
        raise ValueError(f"{name.title()}: {printable(value, 200)!r} can't be understood: {error}") from error


def _refuse_unless_harmless(defect: Exception) -> None:
    if isinstance(defect, NonASCIILocalPartDefect | ObsoleteHeaderDefect):
        return
    if isinstance(defect, InvalidHeaderDefect) and str(defect) == _NO_DOMAIN:
        return
    raise ValueError(str(defect))


def _address(parsed: Address) -> str:
    local_part, at, domain = parsed.addr_spec.rpartition("@")
    if not at:
        local_part, domain = domain, ""
    if not parsed.addr_spec.isprintable() or not _is_local_part(local_part) or (at and not _is_domain(domain)):
        raise ValueError(f"{parsed.addr_spec!r} is not an address")
    return f"{local_part}{at}{domain}"
