"""Opening a session with a replica ends in time, whatever the replica does, and takes no processor meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import ldap
import msgspec
import pytest
from tests.directory.slapd_server import Slapd

from nightmail.directory import sessions
from nightmail.directory.sessions import Access, open_session, words
from nightmail.errors import DirectoryUnavailable

SERVER_HELLO_BEGUN = b"\x16\x03\x03\x00\x80"
STARTTLS_GRANTED = bytes.fromhex("300c02010178070a010004000400")
LIMIT_S = 10.0


class Peer:
    """Listens in a replica's place: says `first` to whoever has said something, and nothing more."""

    def __init__(self, first: bytes, scheme: str = "ldap") -> None:
        self._scheme = scheme
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._first = first
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def uri(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection = self._listener.accept()[0]
                self._connections.append(connection)
                connection.recv(4096)
                connection.sendall(self._first)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            connection.close()


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


@pytest.mark.parametrize("first", [b"", STARTTLS_GRANTED, STARTTLS_GRANTED + SERVER_HELLO_BEGUN])
def test_a_peer_that_hangs_before_or_while_tls_begins_is_given_up(replica: Slapd, first: bytes) -> None:
    access = msgspec.structs.replace(replica.access("reader"), timeout_s=0.3)
    peer = Peer(first)
    [error] = opened(peer.uri, access)
    assert isinstance(error, DirectoryUnavailable)
    assert peer.uri in str(error)
    peer.close()


@pytest.mark.parametrize("first", [b"", SERVER_HELLO_BEGUN])
def test_a_peer_that_hangs_where_tls_comes_first_is_given_up_and_takes_no_processor(
    replica: Slapd, first: bytes
) -> None:
    access = msgspec.structs.replace(replica.access("reader"), timeout_s=1.0)
    peer = Peer(first, "ldaps")
    used_s, began = time.process_time(), time.monotonic()
    [error] = opened(peer.uri, access)
    assert isinstance(error, DirectoryUnavailable)
    assert f"{peer.uri}: TLS does not begin within 1 s" in str(error)
    assert 1.0 <= time.monotonic() - began < 3.0
    assert time.process_time() - used_s < 0.3
    peer.close()


def test_a_peer_that_hangs_just_after_it_was_seen_to_begin_tls_takes_no_processor(
    replica: Slapd, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = msgspec.structs.replace(replica.access("reader"), timeout_s=1.0)
    peer = Peer(b"", "ldaps")
    monkeypatch.setattr(sessions, "_see_tls_begin", lambda *_: None)
    used_s = time.process_time()
    [error] = opened(peer.uri, access)
    assert isinstance(error, DirectoryUnavailable)
    assert time.process_time() - used_s < 0.3
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


def test_the_systems_last_error_is_told_of_connections_alone() -> None:
    noise = {"result": -7, "desc": "Bad search filter", "errno": errno.EAGAIN, "info": os.strerror(errno.EAGAIN)}
    assert words(ldap.FILTER_ERROR(noise)) == "Bad search filter"
    refused = {"result": -1, "desc": "Can't contact", "errno": errno.ECONNREFUSED, "info": "Connection refused"}
    assert words(ldap.SERVER_DOWN(refused)) == "Can't contact: Connection refused"
    said = {"result": 53, "desc": "Unwilling", "errno": errno.EAGAIN, "info": "shadow context; no update referral"}
    assert words(ldap.UNWILLING_TO_PERFORM(said)) == "Unwilling: shadow context; no update referral"
