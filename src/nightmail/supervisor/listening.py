"""The ports of a server: one socket per switch and listener, kept open while switches come and go.

They are bound at once, while that is still allowed, and listened on once there is somebody to greet who comes: until
then a client is refused, and goes elsewhere, and so does a balancer's check.

SO_REUSEPORT would let a second server of the same user take half of the connections unnoticed. So one more socket has
each address, a guard, which shares with nobody: it can't listen where anybody does, and needs no privilege to try.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Sequence
from typing import NamedTuple

from nightmail.net.addresses import HostPort
from nightmail.net.sockets import bound_socket, listen


class Ports(NamedTuple):
    """The sockets of each switch, in the order of the addresses, and a guard of each address."""

    listeners: list[list[socket.socket]]
    guards: list[socket.socket]


def bind_ports(addresses: Sequence[str], switches: int) -> Ports:
    """Take the addresses, for so many switches; `listen_on` has them listen.

    Raises:
        ConfigInvalid: an address can't be listened on, or somebody listens there.
    """
    ports = Ports([[] for _ in range(switches)], [])
    for address in addresses:
        guard = bound_socket(address, is_shared=False)
        ports.guards.append(guard)
        chosen = HostPort(*guard.getsockname()[:2])  # where the port is 0
        for listeners in ports.listeners:
            listeners.append(bound_socket(chosen))
    return ports


def listen_on(ports: Ports) -> None:
    """Have clients let in from now on.

    Raises:
        ConfigInvalid: somebody else listens there by now.
    """
    for guard in ports.guards:
        with guard:
            listen(guard)
    for listener in itertools.chain.from_iterable(ports.listeners):
        listen(listener)
