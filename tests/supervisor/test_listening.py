"""Ports are taken at once and listened on later, and nobody shares them unnoticed who came in between."""

from __future__ import annotations

import os
import socket

import pytest
from tests.supervisor.test_privileges import in_a_child

from nightmail.errors import ConfigInvalid
from nightmail.supervisor.listening import Ports, bind_ports, listen_on
from nightmail.supervisor.privileges import Identity

PRIVILEGED = "127.7.7.7:25"


def address_of(ports: Ports) -> str:
    """The address that the first switch has."""
    host, port = ports.listeners[0][0].getsockname()
    return f"{host}:{port}"


def close(ports: Ports) -> None:
    for listener in [*ports.guards, *(each for listeners in ports.listeners for each in listeners)]:
        listener.close()


def outcome_of_listening(ports: Ports) -> str:
    """The fault, or nothing."""
    try:
        listen_on(ports)
    except ConfigInvalid as fault:
        return str(fault)
    finally:
        close(ports)
    return ""


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"])
def test_each_switch_has_a_socket_of_the_same_port_that_lets_clients_in_once_it_listens(address: str) -> None:
    ports = bind_ports([address, address], 3)
    places = {tuple(listener.getsockname()[:2] for listener in listeners) for listeners in ports.listeners}
    assert [len(place) for place in places] == [2]
    host, port = ports.listeners[2][1].getsockname()[:2]
    where = ("::1" if ":" in host else "127.0.0.1", port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(where)
    listen_on(ports)
    socket.create_connection(where).close()
    close(ports)


def test_who_listens_first_of_two_that_took_a_port_has_it_alone() -> None:
    first = bind_ports(["127.0.0.1:0"], 2)
    second = bind_ports([address_of(first)], 2)
    listen_on(second)
    assert "address already in use: stop the program" in outcome_of_listening(first).replace("; ", ": ")
    close(second)


def test_a_program_that_came_meanwhile_is_said_to_be_there() -> None:
    ports = bind_ports(["127.0.0.1:0"], 1)
    address = address_of(ports)
    with socket.socket() as foreign:
        foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        foreign.bind(ports.listeners[0][0].getsockname())
        foreign.listen()
        assert f"listener {address}: address already in use" in outcome_of_listening(ports)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root takes a port below 1024")
def test_whoever_gave_up_root_still_sees_who_came_to_a_port_below_1024_meanwhile() -> None:
    def alone() -> object:
        ports = bind_ports([PRIVILEGED], 2)
        Identity("nobody", [PRIVILEGED]).assume()
        return outcome_of_listening(ports)

    def beside_another() -> object:
        ports, other = bind_ports([PRIVILEGED], 2), bind_ports([PRIVILEGED], 2)
        listen_on(other)
        Identity("nobody", [PRIVILEGED]).assume()
        return outcome_of_listening(ports)

    assert in_a_child(alone) == ""
    assert f"listener {PRIVILEGED}: address already in use" in str(in_a_child(beside_another))
