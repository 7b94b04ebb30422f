from __future__ import annotations

import errno
import os
import socket

import pytest

from nightmail.errors import ConfigInvalid
from nightmail.net.sockets import is_local_address, listening_socket


def test_several_sockets_share_one_address() -> None:
    with listening_socket("127.0.0.1:0") as first:
        port = first.getsockname()[1]
        with listening_socket(f"127.0.0.1:{port}") as second:
            assert second.getsockname() == first.getsockname()
            assert not second.getblocking()


def test_an_ipv6_socket_takes_no_ipv4_connections() -> None:
    with listening_socket("[::1]:0") as listener:
        assert listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_an_address_that_is_taken_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigInvalid, match=f"listener 127.0.0.1:{port}: address already in use; stop"):
            listening_socket(f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["localhost:25", "25", "[::1]", "192.0.2.1:25"])
def test_an_address_that_cannot_be_listened_on_is_refused(address: str) -> None:
    with pytest.raises(ConfigInvalid, match="listener"):
        listening_socket(address)


def test_a_port_that_needs_privileges_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ConfigInvalid, match="below 1024 need root"):
        listening_socket("127.0.0.1:25")


@pytest.mark.parametrize(
    ("address", "ours"), [("127.0.0.1", True), ("127.0.0.9", True), ("::1", True), ("192.0.2.1", False)]
)
def test_the_machines_own_addresses_are_known(address: str, ours: bool) -> None:
    assert is_local_address(address) is ours
