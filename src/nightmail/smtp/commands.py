"""MAIL and RCPT as we send them: every parameter that the peer understands and the message needs, and no other."""

from __future__ import annotations

from collections.abc import Iterable

from nightmail.errors import ProtocolViolation
from nightmail.mail import address as addresses
from nightmail.mail.envelope import NOTIFY_DELAY, NOTIFY_FAILURE, NOTIFY_NEVER, NOTIFY_SUCCESS, Envelope, Recipient
from nightmail.mail.reply import Reply
from nightmail.smtp.extensions import Extensions

_NOTIFY = (
    (NOTIFY_NEVER, "NEVER"),
    (NOTIFY_SUCCESS, "SUCCESS"),
    (NOTIFY_FAILURE, "FAILURE"),
    (NOTIFY_DELAY, "DELAY"),
)

NEEDS_8BITMIME = Reply(554, "5.6.3", "The next server does not take 8-bit text (8BITMIME)")
NEEDS_SMTPUTF8 = Reply(553, "5.6.7", "The next server does not take internationalised mail (SMTPUTF8)")
TOO_BIG = Reply(552, "5.3.4", "The message is larger than the next server takes")


def objection(peer: Extensions, envelope: Envelope, indexes: Iterable[int], size_bytes: int) -> Reply | None:
    """Why the message can't be offered to this peer at all, None if it can."""
    if peer.size_limit_bytes is not None and size_bytes > peer.size_limit_bytes:
        return TOO_BIG
    if not peer.smtputf8 and _needs_smtputf8(envelope, indexes):
        return NEEDS_SMTPUTF8
    if envelope.eight_bit and not peer.eight_bit_mime:
        return NEEDS_8BITMIME
    return None


def mail_command(peer: Extensions, envelope: Envelope, indexes: Iterable[int], size_bytes: int) -> str:
    """The MAIL command with its line end."""
    words = [f"MAIL FROM:<{_path(envelope.sender)}>"]
    if peer.size:
        words.append(f"SIZE={size_bytes}")
    if peer.eight_bit_mime and envelope.eight_bit:
        words.append("BODY=8BITMIME")
    if peer.smtputf8 and _needs_smtputf8(envelope, indexes):
        words.append("SMTPUTF8")
    if peer.dsn and envelope.ret:
        words.append(f"RET={envelope.ret}")
    if peer.dsn and envelope.envid:
        words.append(f"ENVID={envelope.envid}")
    return " ".join(words) + "\r\n"


def rcpt_command(peer: Extensions, recipient: Recipient) -> str:
    """The RCPT command with its line end."""
    command = f"RCPT TO:<{_path(recipient.address)}>"
    if peer.dsn and recipient.notify:
        command += " NOTIFY=" + ",".join(word for bit, word in _NOTIFY if recipient.notify & bit)
    if peer.dsn and recipient.orcpt:
        command += f" ORCPT={recipient.orcpt}"
    return command + "\r\n"


def on_the_wire(commands: list[str]) -> list[bytes]:
    """The commands as bytes.

    Raises:
        ProtocolViolation: one holds a line end that is not its own; sent, it would be two commands.
    """
    together = "".join(commands)
    # Each brings one line end of its own.
    if together.count("\n") != len(commands) or together.count("\r") != len(commands):
        raise ProtocolViolation(f"a line end within a command: {together[:200]!r}")
    return [command.encode() for command in commands]


def _needs_smtputf8(envelope: Envelope, indexes: Iterable[int]) -> bool:
    """RFC 6531 §3.1. A domain beyond ASCII has an ASCII form; a local part has none."""
    if envelope.utf8_headers or not _is_ascii_mailbox(envelope.sender):
        return True
    return not all(_is_ascii_mailbox(envelope.recipients[index].address) for index in indexes)


def _is_ascii_mailbox(address: str) -> bool:
    return address.isascii() or addresses.split(address)[0].isascii()


def _path(address: str) -> str:
    if address.isascii():
        return address
    local_part, domain = addresses.split(address)
    return f"{local_part}@{addresses.fold_domain(domain)}" if local_part.isascii() else address
