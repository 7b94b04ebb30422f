"""What stands behind MAIL, RCPT, BDAT and the hellos: paths with their ESMTP parameters (RFC 5321 §4.1, RFC 3461 §4).

The common forms are read by one regular expression each; whatever it does not match goes the long way, where each
fault has its own reply.
"""

from __future__ import annotations

import re

from nightmail.errors import ProtocolViolation
from nightmail.mail.envelope import NOTIFY_DELAY, NOTIFY_FAILURE, NOTIFY_NEVER, NOTIFY_SUCCESS
from nightmail.mail.reply import Reply
from nightmail.smtp import paths, replies
from nightmail.smtp.events import MailReceived, RcptReceived

_COMMON_MAIL = re.compile(rf"[Ff][Rr][Oo][Mm]:<({paths.MAILBOX})>(?: SIZE=([0-9]{{1,18}}))?")
_COMMON_RCPT = re.compile(rf"[Tt][Oo]:<({paths.MAILBOX})>")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([^=\x00-\x20\x7f]++))?")
_XTEXT = r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})"
_ENVID = re.compile(rf"{_XTEXT}{{1,100}}")
_ORCPT = re.compile(rf"[A-Za-z0-9-]{{1,60}};(?:{_XTEXT}|\\x\{{[0-9A-F]{{2,6}}\}}|[^\x00-\xa0]){{1,500}}")
_CHUNK = re.compile(r"([0-9]{1,18})( [Ll][Aa][Ss][Tt])?")
_HELLO = re.compile(r"""[^\x00-\x20()<>@,;\\"\x7f-\U0010ffff]{1,255}""")
_NOTIFY = {"SUCCESS": NOTIFY_SUCCESS, "FAILURE": NOTIFY_FAILURE, "DELAY": NOTIFY_DELAY}

_BAD_MAIL = Reply(501, "5.5.4", "Syntax: MAIL FROM:<address>")
_BAD_RCPT = Reply(501, "5.5.4", "Syntax: RCPT TO:<address>")
_BAD_SENDER = Reply(501, "5.1.7", "Bad sender address syntax")
_BAD_RECIPIENT = Reply(501, "5.1.3", "Bad recipient address syntax")


def parse_mail(text: str) -> MailReceived:
    """What follows `MAIL `. Raises: ProtocolViolation, with the reply."""
    match = _COMMON_MAIL.fullmatch(text)
    if match is not None and match.end(1) - match.start(1) <= paths.PATH_LIMIT - 2:
        size = match[2]
        return MailReceived(match[1], None if size is None else int(size))
    if text[:5].upper() != "FROM:":
        raise ProtocolViolation("MAIL without FROM", _BAD_MAIL)
    local, domain, rest = paths.split_path(text[5:], _BAD_SENDER)
    given = _parameters(rest, ("SIZE", "BODY", "SMTPUTF8", "RET", "ENVID"))
    smtputf8 = "SMTPUTF8" in given
    if given.get("SMTPUTF8"):
        raise _bad_value("SMTPUTF8")
    return MailReceived(
        sender=paths.mailbox(local, domain, smtputf8, _BAD_SENDER) if local or domain else "",
        size_bytes=_size(given["SIZE"]) if "SIZE" in given else None,
        body=_choice(given, "BODY", ("7BIT", "8BITMIME")),
        smtputf8=smtputf8,
        ret=_choice(given, "RET", ("FULL", "HDRS")),
        envid=_matching(given, "ENVID", _ENVID),
    )


def parse_rcpt(text: str, smtputf8: bool) -> RcptReceived:
    """What follows `RCPT `. Raises: ProtocolViolation, with the reply."""
    match = _COMMON_RCPT.fullmatch(text)
    if match is not None and len(match[1]) <= paths.PATH_LIMIT - 2:
        return RcptReceived(match[1])
    if text[:3].upper() != "TO:":
        raise ProtocolViolation("RCPT without TO", _BAD_RCPT)
    local, domain, rest = paths.split_path(text[3:], _BAD_RECIPIENT)
    given = _parameters(rest, ("NOTIFY", "ORCPT"))
    if domain or local.lower() != "postmaster":  # RFC 5321 §4.5.1: the one address without a domain
        local = paths.mailbox(local, domain, smtputf8, _BAD_RECIPIENT)
    return RcptReceived(local, _notify(given["NOTIFY"]) if "NOTIFY" in given else 0, _matching(given, "ORCPT", _ORCPT))


def parse_chunk(text: str) -> tuple[int, bool]:
    """The octets that follow a BDAT command, and whether they are the last (RFC 3030 §2).

    Raises:
        ProtocolViolation: where the next command begins can't be told any more.
    """
    match = _CHUNK.fullmatch(text)
    if match is None:
        raise ProtocolViolation("BDAT without a count", replies.BAD_CHUNK)
    return int(match[1]), match[2] is not None


def parse_hello(text: str) -> str:
    """The name a client gives itself. Raises: ProtocolViolation, with the reply."""
    name = text.strip(" ")
    if _HELLO.fullmatch(name) is None:
        raise ProtocolViolation("a hello without a name", replies.BAD_HELLO)
    return name


def _parameters(text: str, known: tuple[str, ...]) -> dict[str, str]:
    given: dict[str, str] = {}
    for word in filter(None, text.split(" ")):
        match = _PARAMETER.fullmatch(word)
        keyword = match[1].upper() if match else ""
        if match is None or keyword in given:
            raise ProtocolViolation(f"parameter {word}", Reply(501, "5.5.4", "Bad or repeated parameter"))
        if keyword not in known:
            raise ProtocolViolation(f"parameter {word}", Reply(555, "5.5.4", f"Unsupported parameter: {keyword[:40]}"))
        given[keyword] = match[2] or ""
    return given


def _bad_value(keyword: str) -> ProtocolViolation:
    return ProtocolViolation(f"value of {keyword}", Reply(501, "5.5.4", f"Bad value of parameter {keyword}"))


def _size(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 20):  # RFC 1870 §3
        raise _bad_value("SIZE")
    return int(value)


def _choice(given: dict[str, str], keyword: str, choices: tuple[str, ...]) -> str:
    value = given.get(keyword)
    if value is None:
        return ""
    if value.upper() not in choices:
        raise _bad_value(keyword)
    return value.upper()


def _matching(given: dict[str, str], keyword: str, pattern: re.Pattern[str]) -> str:
    value = given.get(keyword)
    if value is None:
        return ""
    if pattern.fullmatch(value) is None:
        raise _bad_value(keyword)
    return value


def _notify(value: str) -> int:
    if value.upper() == "NEVER":
        return NOTIFY_NEVER
    try:
        return sum({_NOTIFY[word] for word in value.upper().split(",")})
    except KeyError:
        raise _bad_value("NOTIFY") from None
