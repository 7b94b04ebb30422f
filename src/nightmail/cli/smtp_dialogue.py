"""`sendmail -bs`: SMTP on standard input and output, spoken by the server that runs here."""

from __future__ import annotations

import contextlib
import os
import socket
import threading

from nightmail.cli.failing import CommandFailed
from nightmail.config.settings import Config
from nightmail.net.addresses import parse_host_port

_STDIN, _STDOUT = 0, 1
_CHUNK_BYTES = 64 * 1024
_CONNECT_TIMEOUT_S = 10.0
_LAST_ANSWER_S = 60.0
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - replaced, not bound


def converse(config: Config) -> int:
    """Carry the dialogue to the server's SMTP listener and back until either side ends it; the exit code.

    Raises:
        CommandFailed: no server listens here for SMTP without PROXY.
    """
    listener = next((each for each in config.listeners if each.service == "smtp" and not each.proxy_from), None)
    if listener is None:
        raise CommandFailed(os.EX_CONFIG, "sendmail: -bs needs a [[listener]] for smtp without proxy_from")
    where = parse_host_port(listener.address)
    try:
        server = socket.create_connection((_ANY.get(where.host, where.host), where.port), _CONNECT_TIMEOUT_S)
    except OSError as error:
        _write(b"421 4.3.2 no server runs here\r\n")
        raise CommandFailed(
            os.EX_UNAVAILABLE, f"sendmail: {listener.address}: {os.strerror(error.errno or 0)}"
        ) from error
    with server:
        server.settimeout(None)
        _carry(server)
    return os.EX_OK


def _carry(server: socket.socket) -> None:
    ended = threading.Event()
    threading.Thread(target=_feed, args=(server, ended), daemon=True).start()
    while data := server.recv(_CHUNK_BYTES):
        _write(data)
    ended.set()


def _feed(server: socket.socket, ended: threading.Event) -> None:
    """Carry the input over. The server must not see its end: an answer that is still to come would go nowhere."""
    with contextlib.suppress(OSError):
        while data := os.read(_STDIN, _CHUNK_BYTES):
            server.sendall(data)
        if not ended.wait(_LAST_ANSWER_S):
            server.shutdown(socket.SHUT_RDWR)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(_STDOUT, data) :]
