from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from nightmail.errors import TemporaryFailure
from nightmail.net.addresses import Target
from nightmail.net.dialing import SocketDialer
from nightmail.net.sockets import listening_socket


class Caller(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def peer(self) -> Any:
        return self.transport.get_extra_info("sockname")


def dial(target: Target, dialer: SocketDialer | None = None, timeout_s: float = 5) -> Any:
    async def run() -> Any:
        caller = await (dialer or SocketDialer()).dial(target, Caller, timeout_s)
        try:
            return caller.peer()
        finally:
            caller.transport.close()
            await asyncio.sleep(0)

    return asyncio.run(run())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listener_is_reached(host: str) -> None:
    with listening_socket(f"[{host}]:0") as listener:
        assert dial(Target("here", host, listener.getsockname()[1]))[0] == host


def test_a_source_address_is_used_for_its_family() -> None:
    dialer = SocketDialer(("127.0.0.9",))
    with listening_socket("127.0.0.1:0") as v4, listening_socket("[::1]:0") as v6:
        assert dial(Target("here", "127.0.0.1", v4.getsockname()[1]), dialer)[0] == "127.0.0.9"
        assert dial(Target("here", "::1", v6.getsockname()[1]), dialer)[0] == "::1"


def test_a_refused_connection_is_temporary_and_says_where() -> None:
    with pytest.raises(TemporaryFailure) as caught:
        dial(Target("mx.example.net", "127.0.0.1", 1))
    assert str(caught.value.reply) == "451 4.4.1 connect to mx.example.net[127.0.0.1]:1: connection refused"


def test_a_socket_that_is_not_there_is_temporary(tmp_path: Path) -> None:
    with pytest.raises(TemporaryFailure, match="no such file"):
        dial(Target("unix", str(tmp_path / "lmtp"), 0))


def patched(monkeypatch: pytest.MonkeyPatch, connect: Callable[..., Awaitable[Any]]) -> None:
    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", connect)


def test_a_host_that_does_not_answer_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silence(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    patched(monkeypatch, silence)
    with pytest.raises(TemporaryFailure, match=r"connect to gone\[192\.0\.2\.1\]:25: connection timed out"):
        dial(Target("gone", "192.0.2.1", 25), timeout_s=0.05)


def test_a_family_without_a_route_is_temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_route(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    patched(monkeypatch, no_route)
    with pytest.raises(TemporaryFailure, match="network is unreachable"):
        dial(Target("six", "2001:db8::1", 25))
