"""Addresses of the network: `host:port` as people write it, and the places to which mail is carried."""

from __future__ import annotations

import ipaddress

import msgspec


class HostPort(msgspec.Struct, frozen=True):
    """A host, by name or IP address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """The form `parse_host_port` takes."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Target(msgspec.Struct, frozen=True):
    """One place to connect to: a host's name and one of its IP addresses, or a Unix socket.

    For a Unix socket `address` is its path and `port` is 0.
    """

    host: str
    address: str
    port: int

    @property
    def is_unix(self) -> bool:
        """Whether this is a Unix socket."""
        return self.port == 0

    def __str__(self) -> str:
        """The target as logs and reports name it."""
        return f"{self.host}[{self.address}]" if self.is_unix else f"{self.host}[{self.address}]:{self.port}"


def parse_host_port(text: str, default_port: int | None = None) -> HostPort:
    """The host and port in `host:port`, `[host]:port` or, where there is a default port, without one.

    Raises:
        ValueError: it is none of these; the message says what would be right.
    """
    host, port_text = _divide(text)
    if not host:
        raise ValueError(f"{text!r} names no host; write host:port")
    if not port_text:
        if default_port is None:
            raise ValueError(f"{text!r} names no port; write host:port")
        return HostPort(host, default_port)
    if not (port_text.isascii() and port_text.isdigit() and 0 <= int(port_text) <= 65535):
        raise ValueError(f"{port_text!r} in {text!r} is no port; write a number up to 65535")
    return HostPort(host, int(port_text))


def _divide(text: str) -> tuple[str, str]:
    """The host and the port's digits, still unchecked; the port is empty where there is none."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is not [host]:port")
        return host, rest[1:]
    if text.count(":") > 1:
        if is_ip(text):
            return text, ""
        raise ValueError(f"{text!r} has several colons; write an IPv6 address as [address]:port")
    host, _, port = text.partition(":")
    return host, port


def is_ip(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address."""
    return ip_version(text) != 0


def ip_version(text: str) -> int:
    """4 or 6, or 0 where `text` is no IP address."""
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return 0


def parse_literal(domain: str) -> str:
    """The IP address in an address literal, `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3).

    Raises:
        ValueError: it is no such literal.
    """
    if not (domain.startswith("[") and domain.endswith("]")):
        raise ValueError(f"{domain!r} is no address literal")
    inside = domain[1:-1]
    tagged = inside[:5].lower() == "ipv6:"
    address = inside[5:] if tagged else inside
    if ip_version(address) != (6 if tagged else 4):
        raise ValueError(f"{domain!r} is no address literal; write [192.0.2.1] or [IPv6:2001:db8::1]")
    return address
