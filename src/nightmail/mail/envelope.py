"""The envelope: who sent a message, who is to have it, what was asked for on the way (RFC 5321 §2.3.1, RFC 3461)."""

from __future__ import annotations

import msgspec

NOTIFY_NEVER = 1
NOTIFY_SUCCESS = 2
NOTIFY_FAILURE = 4
NOTIFY_DELAY = 8


class Recipient(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One final recipient, after aliases and lists were expanded.

    `orcpt` is the ORCPT parameter as it came (`rfc822;` and xtext), or empty. `notify` is the sum of the NOTIFY_
    constants, 0 where the sender gave no NOTIFY. `orig_to` is the address of the RCPT command where an alias
    changed it, else empty.
    """

    address: str
    orcpt: str = ""
    notify: int = 0
    orig_to: str = ""


class Envelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the SMTP dialogue said about a message.

    `sender` is empty for the null reverse-path. `ret` is `FULL`, `HDRS` or empty; `envid` is xtext as it came, or
    empty. `eight_bit` tells whether the stored message has a byte above 127, `utf8_headers` whether its headers have
    one or an address is not ASCII, so that the next hop must speak SMTPUTF8 (RFC 6531). `client` names who handed it
    over, for logs and reports. `drop` is the drop file a local submission came from, or empty. `is_unexpanded`:
    nobody could tell what the recipient of this report stands for, and nothing is sent before that is known.
    """

    sender: str
    recipients: tuple[Recipient, ...]
    ret: str = ""
    envid: str = ""
    eight_bit: bool = False
    utf8_headers: bool = False
    client: str = ""
    drop: str = ""
    is_unexpanded: bool = False
