"""`sendmail`: takes a message from a program on this machine and keeps it, whether or not a server runs.

Exit codes are what callers act on: 0 means that the message is on disk, EX_TEMPFAIL that the caller still has it.
"""

from __future__ import annotations

import os
import pwd
import re
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from nightmail.cli.configuration import load_config
from nightmail.cli.failing import CommandFailed, complain
from nightmail.cli.sendmail_arguments import Arguments, parse
from nightmail.config.settings import Config
from nightmail.errors import ConfigInvalid
from nightmail.mail.envelope import Recipient
from nightmail.mail.message_id import MessageIds
from nightmail.mail.submitted import as_message, header_recipients, missing_fields, without_bcc
from nightmail.mail.xtext import encode as xtext
from nightmail.submission import (
    RECIPIENTS_MAX,
    DropDirectory,
    DropRefused,
    DropUnavailable,
    Submission,
    check,
)
from nightmail.world import SystemClock, SystemRandomness

_READ_BYTES = 256 * 1024
_is_plain_address = re.compile(r"[^\s\"(),:;<>\[\\\]]+").fullmatch


def main(words: Sequence[str]) -> int:
    """Do what sendmail does with these arguments; the exit code."""
    try:
        return _run(parse(words))
    except ConfigInvalid as fault:
        complain(fault)
        return os.EX_CONFIG
    except DropUnavailable as fault:
        complain(f"the message was not stored: {fault}")
        return os.EX_TEMPFAIL
    except CommandFailed as failure:
        complain(failure)
        return failure.exit_code


def _run(arguments: Arguments) -> int:
    match arguments.mode:
        case "p":
            return _list_queue(arguments)
        case "s":
            from nightmail.cli.smtp_dialogue import converse  # noqa: PLC0415 - programs that only send don't need it

            return converse(load_config(arguments.config, arguments.name))
        case "q":
            return _retry_all(arguments)
        case "i":
            return os.EX_OK  # newaliases: tables are read again by themselves
        case "m":
            _submit(arguments, load_config(arguments.config, arguments.name), sys.stdin.buffer)
            return os.EX_OK
        case mode:
            raise CommandFailed(os.EX_USAGE, f"sendmail: -b{mode} is not supported; nightmail serve runs a server")


def _submit(arguments: Arguments, config: Config, source: BinaryIO) -> None:
    """Keep the message that `source` holds.

    Raises:
        DropUnavailable: it was not kept.
        CommandFailed: it can't be sent, now or later.
    """
    text = _read(source, config.smtp.message_size_limit_bytes, ends_at_dot=not arguments.dots_are_text)
    message = as_message(text)
    host = config.server.hostname
    recipients = _recipients(arguments, message, host)
    if arguments.from_header:
        message = without_bcc(message)
    clock, randomness = SystemClock(), SystemRandomness()
    sender = _sender(arguments, host)
    before = missing_fields(
        message,
        sender=sender,
        full_name=arguments.full_name or _own_full_name(),
        hostname=host,
        message_id=MessageIds(clock, randomness).next(),
        now=clock.wall(),
    )
    submission = Submission(
        sender=sender,
        recipients=tuple(Recipient(address, notify=arguments.notify) for address in recipients),
        ret="FULL" if arguments.ret == "FULL" else "HDRS" if arguments.ret else "",
        envid=xtext(arguments.envid),
    )
    try:
        check(submission)
    except DropRefused as fault:
        raise CommandFailed(os.EX_DATAERR, f"sendmail: {fault}") from fault
    DropDirectory(config.submission.drop_directory).store(submission, [before, message], clock, randomness)


def _recipients(arguments: Arguments, message: bytes, host: str) -> list[str]:
    try:
        found = [address for word in arguments.recipients for address in _addresses(word)]
        if arguments.from_header:
            found += header_recipients(message)
    except ValueError as error:
        raise CommandFailed(os.EX_DATAERR, f"sendmail: {error}") from error
    if not found:
        raise CommandFailed(os.EX_USAGE, "sendmail: no recipients: name them, or let -t find them in the header")
    if len(found) > RECIPIENTS_MAX:
        raise CommandFailed(os.EX_DATAERR, f"sendmail: {len(found)} recipients; {RECIPIENTS_MAX} are the most")
    return list(dict.fromkeys(_qualified(address, host) for address in found))


def _addresses(word: str) -> list[str]:
    """The addresses in one argument, which may be written as in a header: `Bob <bob@example.net>, carol`."""
    if _is_plain_address(word):
        return [word]
    return header_recipients(b"To: " + " ".join(word.split()).encode("utf-8", "surrogateescape") + b"\r\n\r\n")


def _qualified(address: str, host: str) -> str:
    return address if "@" in address else f"{address}@{host}"


def _sender(arguments: Arguments, host: str) -> str:
    if arguments.sender is None:
        return f"{_own_entry().pw_name}@{host}"
    return _qualified(arguments.sender, host) if arguments.sender else ""


def _own_full_name() -> str:
    return _own_entry().pw_gecos.partition(",")[0]


def _own_entry() -> pwd.struct_passwd:
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return pwd.struct_passwd((f"uid-{uid}", "", uid, os.getgid(), "", "/", ""))


def _read(source: BinaryIO, limit_bytes: int, *, ends_at_dot: bool) -> bytes:
    pieces, size_bytes = [], 0
    for piece in _lines_before_dot(source) if ends_at_dot else iter(lambda: source.read(_READ_BYTES), b""):
        size_bytes += len(piece)
        if size_bytes > limit_bytes:
            raise CommandFailed(os.EX_DATAERR, f"sendmail: the message is larger than {limit_bytes} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _lines_before_dot(source: BinaryIO) -> Iterator[bytes]:
    """The lines up to one that is a single dot."""
    at_line_start = True
    while line := source.readline(_READ_BYTES):
        if at_line_start and line in (b".\n", b".\r\n", b"."):
            return
        at_line_start = line.endswith(b"\n")
        yield line


def _list_queue(arguments: Arguments) -> int:
    from nightmail.cli.app import run_app  # noqa: PLC0415 - programs that only send don't need it

    return run_app(["queue", "list", *_which(arguments)])


def _retry_all(arguments: Arguments) -> int:
    from nightmail.cli.app import run_app  # noqa: PLC0415 - programs that only send don't need it

    return run_app(["queue", "retry", "--all", *_which(arguments)])


def _which(arguments: Arguments) -> list[str]:
    words = [("--config", arguments.config), ("--name", arguments.name)]
    return [part for flag, value in words if value for part in (flag, value)] + ["--json"] * arguments.json
