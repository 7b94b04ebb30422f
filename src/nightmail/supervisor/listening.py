"""The ports of a server: one socket per switch and listener, kept open while switches come and go.

They are bound at once, while that is still allowed, and listened on once there is somebody to greet who comes: until
then a client is refused, and goes elsewhere, and so does a balancer's check.
"""

from __future__ import annotations

import errno
import itertools
import socket
from collections.abc import Sequence

from nightmail.errors import ConfigInvalid
from nightmail.net.addresses import HostPort, parse_host_port
from nightmail.net.sockets import BACKLOG, bound_socket


def bind_listeners(addresses: Sequence[str], switches: int) -> list[list[socket.socket]]:
    """For each switch, its sockets in the order of `addresses`; `listen_on` has them listen.

    Raises:
        ConfigInvalid: an address can't be listened on, or somebody listens there.
    """
    bound: list[list[socket.socket]] = [[] for _ in range(switches)]
    for address in addresses:
        place: str | HostPort = address
        _refuse_company(address)
        for sockets in bound:
            listener = bound_socket(place)
            sockets.append(listener)
            # Where the port is 0 the first socket chose one; the others share it.
            place = HostPort(*listener.getsockname()[:2])
    return bound


def listen_on(bound: Sequence[Sequence[socket.socket]]) -> None:
    """Have clients let in from now on.

    Raises:
        ConfigInvalid: somebody else listens there by now: what does not listen keeps nobody away.
    """
    for listener in bound[0]:
        _refuse_company(str(HostPort(*listener.getsockname()[:2])))
    for listener in itertools.chain.from_iterable(bound):
        listener.listen(BACKLOG)


def _refuse_company(address: str) -> None:
    """SO_REUSEPORT would let a second server of the same user take half of the connections unnoticed."""
    try:
        where = parse_host_port(address)
        with socket.socket(socket.AF_INET6 if ":" in where.host else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((where.host, where.port))
    except ValueError:
        return  # Here and below: bound_socket is about to say it better.
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            remedy = "stop the program that listens there or choose another address"
            raise ConfigInvalid(f"listener {address}", "address already in use", remedy) from error
