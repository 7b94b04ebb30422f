"""Listening sockets, bound by the supervisor and kept by it while switches come and go."""

from __future__ import annotations

import ipaddress
import os
import socket

from nightmail.errors import ConfigInvalid
from nightmail.net.addresses import HostPort, ip_version, parse_host_port

BACKLOG = 1024


def listening_socket(address: str | HostPort, backlog: int = BACKLOG) -> socket.socket:
    """A socket as `bound_socket` makes it, which listens. Raises: ConfigInvalid: see there."""
    listener = bound_socket(address)
    try:
        listen(listener, backlog)
    except ConfigInvalid:
        listener.close()
        raise
    return listener


def listen(listener: socket.socket, backlog: int = BACKLOG) -> None:
    """Have clients let in from now on. Raises: ConfigInvalid: somebody else listens at that address by now."""
    try:
        listener.listen(backlog)
    except OSError as error:
        raise _refused(HostPort(*listener.getsockname()[:2]), error) from error


def bound_socket(address: str | HostPort, *, is_shared: bool = True) -> socket.socket:
    """A non-blocking TCP socket that has `address`, and shares it with others of the same user if it `is_shared`.

    Until it listens, whoever connects is refused at once. What does not listen keeps nobody away, shared or not.

    Raises:
        ConfigInvalid: the address is malformed, in use, not one of this machine's, or needs privileges.
    """
    place = f"listener {address}"
    try:
        where = parse_host_port(address) if isinstance(address, str) else address
    except ValueError as error:
        raise ConfigInvalid(place, str(error)) from error
    version = ip_version(where.host)
    if not version:
        raise ConfigInvalid(place, f"{where.host!r} is no IP address", "write for instance 0.0.0.0:25 or [::]:25")
    try:
        return _bound(socket.AF_INET6 if version == 6 else socket.AF_INET, where, is_shared)
    except OSError as error:
        raise _refused(address, error) from error


def _bound(family: socket.AddressFamily, where: HostPort, is_shared: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, is_shared)
        if family == socket.AF_INET6:
            # Mapped addresses would evade rules written for IPv4 networks.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((where.host, where.port))
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _refused(address: str | HostPort, error: OSError) -> ConfigInvalid:
    return ConfigInvalid(f"listener {address}", os.strerror(error.errno or 0).lower(), _remedy(error))


def _remedy(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "ports below 1024 need root; start as root and set [server] user, or choose another port"
    return "stop the program that uses it or choose another address"


def is_local_address(address: str) -> bool:
    """Whether the IP address is one of this machine's own.

    The kernel sends to itself from the very address it sends to; no packet is sent to find out. Trying to bind it
    would not tell where `ip_nonlocal_bind` is set, as it is beside keepalived.
    """
    if ipaddress.ip_address(address).is_loopback:
        return True
    family = socket.AF_INET6 if ip_version(address) == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 25))
        except OSError:
            return False
        return str(probe.getsockname()[0]) == address
