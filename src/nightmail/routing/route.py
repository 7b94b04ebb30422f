"""Where mail for an address goes next: the route as a value, and the one line of text that a table gives it.

    mx                  to the domain's mail exchangers
    smtp:HOST[:PORT]    to HOST's mail exchangers
    smtp:[HOST][:PORT]  to that very host
    lmtp:[HOST]:PORT    the same, by LMTP (RFC 2033)
    lmtp:unix:PATH      by LMTP over a Unix socket
    maildir:PATH        into a Maildir; PATH may hold {local_part} and {domain}
    discard             nowhere, with success
    reject:TEXT         refused at RCPT with 550 5.7.1 TEXT

A remote route may end with ` on_ambiguous=hold`: a message that may or may not have been taken is then held for an
operator instead of being sent again.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Callable
from typing import Literal

import msgspec

from nightmail.errors import ConfigInvalid, PermanentFailure
from nightmail.mail.address import fold_domain, split
from nightmail.mail.reply import Reply
from nightmail.routing.names import parse_domain, unquote

SMTP_PORT = 25
FORMS = (
    "a route is mx, smtp:HOST, smtp:[HOST]:PORT, lmtp:[HOST]:PORT, lmtp:unix:PATH, maildir:PATH, discard or reject:TEXT"
)

_POLICY = re.compile(r"(.*?)\s+on_ambiguous=(.*)")
_BRACKETED = re.compile(r"\[([^\[\]]+)\](?::([0-9]+))?")
_BY_NAME = re.compile(r"([^:\[\]\s]+)(?::([0-9]+))?")
_BRACE = re.compile(r"\{[^{}]*\}|[{}]")
_WIRE_TEXT = re.compile(r"[\x20-\x7e]{1,400}")

_BAD_LOCAL_PART = Reply(550, "5.1.3", "this local part can't name a mailbox here")


class Route(msgspec.Struct, frozen=True):
    """One way onward.

    `destination` is the key under which the scheduler counts connections and failures. `by_mx` asks for the mail
    exchangers of `host`, else `host` is dialled itself. `path` is the template of a Maildir, or a Unix socket.
    """

    kind: Literal["smtp", "lmtp", "maildir", "discard", "reject"]
    host: str = ""
    port: int = 0
    by_mx: bool = False
    path: str = ""
    text: str = ""
    on_ambiguous: Literal["retry", "hold"] = "retry"
    destination: str = ""

    @property
    def is_final(self) -> bool:
        """Whether the mail ends here and is handed to nobody who could report on it."""
        return self.kind in {"maildir", "discard"}

    def for_domain(self, domain: str) -> Route:
        """The route for mail to `domain` (folded): a bare `mx` gets its host from there."""
        if self.host or self.kind != "smtp":
            return self
        if domain.startswith("["):
            return _to_literal(self, domain)
        return msgspec.structs.replace(self, host=domain, destination=f"mx:{domain}")


def _to_literal(route: Route, domain: str) -> Route:
    """An address literal is the host itself (RFC 5321 §4.1.3, §5.1)."""
    host = domain.strip("[]").removeprefix("ipv6:")
    return msgspec.structs.replace(route, host=host, by_mx=False, destination=_direct("smtp", host, route.port))


def _direct(kind: str, host: str, port: int) -> str:
    return f"{kind}:[{host}]:{port}"


def parse_route(text: str, place: str, base: str = "/") -> Route:
    """The route that `text` describes; a relative path in it is taken from `base`.

    Raises:
        ConfigInvalid: it describes none; `place` is where it stands.
    """
    kind, colon, rest = text.partition(":")
    if kind == "reject":
        return _parse_reject(rest, place)
    policed = _POLICY.fullmatch(text)
    if policed:
        return _with_policy(parse_route(policed[1], place, base), policed[2], place)
    if text in _WHOLE:
        return _WHOLE[text]
    if not colon or kind not in _PARSERS:
        raise ConfigInvalid(place, f"{text!r} is not a route", FORMS)
    return _PARSERS[kind](rest, place, base)


def _with_policy(route: Route, policy: str, place: str) -> Route:
    if route.kind not in {"smtp", "lmtp"}:
        raise ConfigInvalid(place, f"a {route.kind} route is never ambiguous", "leave on_ambiguous out")
    if policy not in {"retry", "hold"}:
        raise ConfigInvalid(place, f"on_ambiguous={policy} is unknown", "write on_ambiguous=retry or on_ambiguous=hold")
    return msgspec.structs.replace(route, on_ambiguous=policy)


def _parse_reject(text: str, place: str) -> Route:
    if not _WIRE_TEXT.fullmatch(text.strip()):
        raise ConfigInvalid(
            place, "reject: needs a text of 1 to 400 ASCII characters", "write reject:this address is closed"
        )
    return Route(kind="reject", text=text.strip(), destination="reject")


def _parse_smtp(rest: str, place: str, base: str) -> Route:
    bracketed = _BRACKETED.fullmatch(rest)
    if bracketed:
        host, port = _parse_host(bracketed[1], place), _parse_port(bracketed[2] or str(SMTP_PORT), place)
        return Route(kind="smtp", host=host, port=port, destination=_direct("smtp", host, port))
    named = _BY_NAME.fullmatch(rest)
    if not named or _is_ip(named[1]) or _is_ip(rest):
        raise ConfigInvalid(place, f"'smtp:{rest}' names no host", "write smtp:HOST, or smtp:[ADDRESS]:PORT")
    host, port = parse_domain(named[1], place), _parse_port(named[2] or str(SMTP_PORT), place)
    suffix = "" if port == SMTP_PORT else f":{port}"
    return Route(kind="smtp", host=host, port=port, by_mx=True, destination=f"mx:{host}{suffix}")


def _parse_lmtp(rest: str, place: str, base: str) -> Route:
    if rest.startswith("unix:"):
        path = _parse_path(rest.removeprefix("unix:"), place, base)
        return Route(kind="lmtp", path=path, destination=f"lmtp:unix:{path}")
    bracketed = _BRACKETED.fullmatch(rest)
    if not bracketed or not bracketed[2]:
        raise ConfigInvalid(
            place, f"'lmtp:{rest}' names no host and port", "write lmtp:[HOST]:PORT, or lmtp:unix:/PATH"
        )
    host, port = _parse_host(bracketed[1], place), _parse_port(bracketed[2], place)
    return Route(kind="lmtp", host=host, port=port, destination=_direct("lmtp", host, port))


def _parse_maildir(rest: str, place: str, base: str) -> Route:
    for brace in _BRACE.findall(rest):
        if brace not in {"{local_part}", "{domain}"}:
            raise ConfigInvalid(place, f"{brace} stands for nothing", "a path may hold {local_part} and {domain}")
    return Route(kind="maildir", path=_parse_path(rest, place, base), destination="maildir")


def _parse_path(path: str, place: str, base: str) -> str:
    if not path or "\0" in path:
        raise ConfigInvalid(place, "the path is missing", "write it from the root on, as in /srv/mail")
    if option := _OPTION.search(path):
        raise ConfigInvalid(place, f"{option[1]!r} is no option of this route", "leave it out")
    return posixpath.normpath(posixpath.join(base, path))


def _parse_host(text: str, place: str) -> str:
    literal = text.lower().removeprefix("ipv6:")
    return str(ipaddress.ip_address(literal)) if _is_ip(literal) else parse_domain(text, place)


def _parse_port(text: str, place: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise ConfigInvalid(place, f"{text} is not a port", "a port is a number from 1 to 65535")
    return port


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_OPTION = re.compile(r"\s(\S*=\S*)\Z")
_WHOLE = {
    "mx": Route(kind="smtp", port=SMTP_PORT, by_mx=True),
    "discard": Route(kind="discard", destination="discard"),
}
_PARSERS: dict[str, Callable[[str, str, str], Route]] = {
    "smtp": _parse_smtp,
    "lmtp": _parse_lmtp,
    "maildir": _parse_maildir,
}


def maildir_root(template: str) -> str:
    """The directory that a delivery never creates: the path before the first `{`, up to its last `/`."""
    head, brace, _ = template.partition("{")
    return posixpath.dirname(head) if brace else template


def maildir_path(template: str, address: str) -> str:
    """The Maildir of `address`: its local part (unquoted, lower case) and its domain put into the template.

    Raises:
        PermanentFailure: a part has a `/`, a NUL or a leading dot, and would lead out of the Maildirs' tree.
    """
    local_part, domain = split(address)
    name = unquote(local_part).lower()
    if not _is_safe(name):
        raise PermanentFailure(_BAD_LOCAL_PART, f"{address!r} can't name a Maildir")
    if "{domain}" in template:
        template = template.replace("{domain}", _maildir_domain(domain, address))
    return template.replace("{local_part}", name)


def _maildir_domain(domain: str, address: str) -> str:
    try:
        folded = fold_domain(domain)
    except ValueError as error:
        raise PermanentFailure(_BAD_LOCAL_PART, str(error)) from error
    if not _is_safe(folded) or "{" in folded:
        raise PermanentFailure(_BAD_LOCAL_PART, f"{address!r} can't name a Maildir")
    return folded


def _is_safe(name: str) -> bool:
    return bool(name) and "/" not in name and "\0" not in name and not name.startswith(".")
