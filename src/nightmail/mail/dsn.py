"""Delivery status notifications: the report to a sender, as a message ready to be queued (RFC 3461-3464, RFC 6533).

A report has three parts: one for people, one for programs, and the message it is about or its header. Nothing that
came from outside reaches a header field or a line of a report without passing through `printable`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from nightmail.mail import xtext
from nightmail.mail.date import date_time
from nightmail.mail.envelope import Envelope, Recipient
from nightmail.mail.explanation import explain, subject
from nightmail.mail.fate import Action, Fate, Original
from nightmail.mail.headers import Buffer, field, find_header, header_end, printable
from nightmail.mail.received import local_header

RETURN_LIMIT_BYTES = 50 * 1024
"""Of a longer message only the header is returned, and of a longer header only this much."""

_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,240}>")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9-]{1,60}")
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")


def render(
    original: Original, fates: Sequence[Fate], *, hostname: str, report_id: str, now: float
) -> tuple[Envelope, list[Buffer]]:
    """One report on all of `fates`: its envelope, from the null sender to the original's, and its bytes in CRLF form.

    The original is a slice of the buffer given, not a copy. `hostname` is ours, `report_id` the report's message id,
    `now` seconds of `Clock.wall`.
    """
    sender = original.envelope.sender
    if not sender or not fates:
        raise AssertionError(f"{original.id}: a report needs somebody to read it and something to say")
    international = not all(address.isascii() for address in (sender, *(fate.recipient.address for fate in fates)))
    charset = "utf-8" if international else "us-ascii"
    returned, is_whole = _returned(original, fates)
    readable = explain(original, fates, hostname).encode(charset, "replace")
    status = _status(original, fates, hostname, international)
    boundary = _boundary(report_id, (readable, status, returned))
    is_eight_bit = any(_BEYOND_ASCII.search(part) for part in (readable, status, returned))
    head = (
        local_header(hostname, report_id, now)
        + _header(original, subject(fates), hostname, report_id, now)
        + _mime_header(boundary, is_eight_bit)
        + _part(boundary, "Notification", f"text/plain; charset={charset}", readable)
        + readable
        + _part(boundary, "Delivery report", f"message/{'global-' if international else ''}delivery-status", status)
        + status
        + _part(boundary, *_returned_type(original, is_whole), returned)
    )
    envelope = Envelope("", (Recipient(sender),), eight_bit=is_eight_bit, utf8_headers=not sender.isascii())
    return envelope, [head, returned, f"\r\n--{boundary}--\r\n".encode()]


def _header(original: Original, about: str, hostname: str, report_id: str, now: float) -> bytes:
    sender = original.envelope.sender
    lines = [
        field("From", f"Mail Delivery System <MAILER-DAEMON@{hostname}>"),
        field("To", f"<{sender}>", utf8=not sender.isascii()),
        field("Subject", about),
        field("Date", date_time(now)),
        field("Message-ID", f"<{report_id}@{hostname}>"),
        field("Auto-Submitted", "auto-replied"),  # RFC 3834 §5
    ]
    if (answered := _MESSAGE_ID.search(find_header(original.message, "Message-ID") or "")) is not None:
        lines += [field("In-Reply-To", answered[0]), field("References", answered[0])]
    return b"".join(lines)


def _mime_header(boundary: str, is_eight_bit: bool) -> bytes:
    """RFC 6522 §3; the encoding says what is the widest inside (RFC 2045 §6.4)."""
    return (
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: multipart/report; report-type=delivery-status;\r\n"
        + f'\tboundary="{boundary}"\r\n'.encode()
        + (b"Content-Transfer-Encoding: 8bit\r\n" if is_eight_bit else b"")
    )


def _part(boundary: str, description: str, content_type: str, content: Buffer) -> bytes:
    """What stands between the content of one part and that of the next."""
    encoding = "Content-Transfer-Encoding: 8bit\r\n" if _BEYOND_ASCII.search(content) else ""
    lines = f"\r\n--{boundary}\r\nContent-Description: {description}\r\nContent-Type: {content_type}\r\n{encoding}\r\n"
    return lines.encode("ascii")


def _boundary(report_id: str, parts: Sequence[Buffer]) -> str:
    """A boundary that is in none of the parts: ids can be guessed, so that it is looked for."""
    boundary, number = f"=_{report_id}", 0
    while any(re.search(re.escape(boundary.encode()), part) for part in parts):
        number += 1
        boundary = f"=_{report_id}.{number}"
    return boundary


def _returned(original: Original, fates: Sequence[Fate]) -> tuple[Buffer, bool]:
    """What goes back of the message, and whether it is all of it.

    All of it only where something failed (RFC 3461 §4.3), nobody asked for less, and it is not too large.
    """
    message, size_bytes = original.message, original.size_bytes
    has_failed = any(fate.action is Action.FAILED for fate in fates)
    if has_failed and original.envelope.ret != "HDRS" and size_bytes <= min(RETURN_LIMIT_BYTES, len(message)):
        return message, True
    end = header_end(message)
    if end > RETURN_LIMIT_BYTES:
        end = bytes(message[:RETURN_LIMIT_BYTES]).rfind(b"\r\n") + 2
    return memoryview(message)[:end], False


def _returned_type(original: Original, is_whole: bool) -> tuple[str, str]:
    """Description and media type of the third part (RFC 6522 §4, RFC 6533 §4)."""
    if original.envelope.utf8_headers:
        return ("Your message", "message/global") if is_whole else ("Its header", "message/global-headers")
    return ("Your message", "message/rfc822") if is_whole else ("Its header", "text/rfc822-headers")


def _status(original: Original, fates: Sequence[Fate], hostname: str, international: bool) -> bytes:
    """The part for programs: fields on the message, and a group of fields on each recipient (RFC 3464 §2)."""
    lines = []
    if original.envelope.envid:
        lines.append(_status_field("Original-Envelope-Id", xtext.decode(original.envelope.envid), international))
    lines.append(field("Reporting-MTA", f"dns; {hostname}"))
    lines.append(field("X-Nightmail-Queue-Id", original.id))
    lines.append(field("Arrival-Date", date_time(original.arrival)))
    for fate in fates:
        lines.append(b"\r\n")
        lines += _recipient_status(fate, international)
    return b"".join(lines)


def _recipient_status(fate: Fate, international: bool) -> list[bytes]:
    """The fields on one recipient (RFC 3464 §2.3)."""
    recipient = fate.recipient
    lines = []
    if recipient.orcpt:
        lines.append(_status_field("Original-Recipient", _original_recipient(recipient.orcpt), international))
    address_type = "rfc822" if recipient.address.isascii() else "utf-8"
    lines.append(_status_field("Final-Recipient", f"{address_type}; {recipient.address}", international))
    lines.append(field("Action", fate.action.value))
    lines.append(field("Status", fate.status))
    if fate.remote_host:
        lines.append(field("Remote-MTA", f"dns; {fate.remote_host}"))
    diagnostic_type = "smtp" if fate.remote_host else "X-nightmail"
    lines.append(_status_field("Diagnostic-Code", f"{diagnostic_type}; {printable(str(fate.reply))}", international))
    if fate.attempted_at:
        lines.append(field("Last-Attempt-Date", date_time(fate.attempted_at)))
    if fate.retry_until and fate.action is Action.DELAYED:
        lines.append(field("Will-Retry-Until", date_time(fate.retry_until)))
    return lines


def _status_field(name: str, value: str, international: bool) -> bytes:
    """A field whose value may have characters beyond ASCII, spelled in ASCII where the report is not in UTF-8."""
    return field(name, value if international else xtext.encode_embedded(printable(value)), utf8=international)


def _original_recipient(orcpt: str) -> str:
    """The address as the sender gave it, with its type (RFC 3464 §2.3.1, RFC 6533 §3)."""
    address_type, _, address = orcpt.partition(";")
    if _ADDRESS_TYPE.fullmatch(address_type) is None:
        address_type, address = "rfc822", orcpt
    address = xtext.decode(address)
    return f"{address_type}; {xtext.decode_embedded(address) if address_type.lower() == 'utf-8' else address}"
