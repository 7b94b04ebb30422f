"""Opening a session with a replica ends in time, whatever the replica does, and takes no processor meanwhile."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.directory.slapd_server import Slapd

from nightmail.directory.sessions import Access, open_session
from nightmail.errors import DirectoryUnavailable

STARTTLS_GRANTED = bytes.fromhex("300c02010178070a010004000400")
LIMIT_S = 10.0


class Peer:
    """Listens in a replica's place: says `first` to whoever has said something, and nothing more."""

    def __init__(self, first: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._first = first
        self._connection: socket.socket | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def uri(self) -> str:
        return f"ldap://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        self._connection = self._listener.accept()[0]
        self._connection.recv(4096)
        self._connection.sendall(self._first)

    def close(self) -> None:
        self._listener.close()
        if self._connection is not None:
            self._connection.close()


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Slapd]:
    with Slapd(tmp_path / "master") as master:
        yield master


def opened(uri: str, access: Access) -> list[object]:
    """What came of opening a session, or nothing where it takes too long."""
    outcome: list[object] = []

    def begin() -> None:
        try:
            outcome.append(open_session(uri, access))
        except DirectoryUnavailable as error:
            outcome.append(error)

    thread = threading.Thread(target=begin, daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    return outcome


@pytest.mark.parametrize("first", [b"", STARTTLS_GRANTED, STARTTLS_GRANTED + b"\x16\x03\x03\x00\x80"])
def test_a_peer_that_hangs_before_or_while_tls_begins_is_given_up(replica: Slapd, first: bytes) -> None:
    access = msgspec.structs.replace(replica.access("reader"), timeout_s=0.3)
    peer = Peer(first)
    [error] = opened(peer.uri, access)
    assert isinstance(error, DirectoryUnavailable)
    assert peer.uri in str(error)
    peer.close()


def test_a_connection_is_let_go_of_once_and_with_its_session(replica: Slapd) -> None:
    before = os.listdir("/proc/self/fd")
    session = open_session(replica.uri, replica.access("reader"))
    assert session.whoami_s()
    with pytest.raises(DirectoryUnavailable):
        open_session(replica.uri, msgspec.structs.replace(replica.access("reader"), password="wrong"))
    session.unbind_s()
    assert os.listdir("/proc/self/fd") == before


def test_a_name_that_the_certificate_does_not_have_is_refused(replica: Slapd) -> None:
    with pytest.raises(DirectoryUnavailable):
        open_session(replica.uri.replace("127.0.0.1", "localhost"), replica.access("reader"))


def test_where_nobody_listens_that_is_said(replica: Slapd) -> None:
    replica.kill()
    with pytest.raises(DirectoryUnavailable, match="refused"):
        open_session(replica.uri, replica.access("reader"))
