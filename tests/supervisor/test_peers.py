"""Replicas that hang are looked at, and followed, in threads that nobody else waits for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.directory.slapd_server import SUFFIX
from tests.eventloop import on_a_loop

from nightmail.directory.accounts import account
from nightmail.directory.connection import Connection
from nightmail.directory.feed import Feed
from nightmail.directory.sessions import Access
from nightmail.errors import DirectoryUnavailable
from nightmail.supervisor.peers import ReplicaPeers

REPLICAS = 4
ACCESS = Access(name=account("replicator", SUFFIX), password="secret", timeout_s=1.0)


@pytest.fixture
def uri() -> Iterator[str]:
    """Where connections are taken, and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        yield f"ldap://127.0.0.1:{hanging.getsockname()[1]}"


async def looks(uri: str) -> None:
    peers = ReplicaPeers("mx1", {"mx1": uri, "mx2": uri}, ACCESS)
    try:
        await asyncio.gather(peers.see("mx2"), peers.has_everything("mx2"))
    finally:
        peers.close()


async def connects(uri: str) -> None:
    await Connection.open(uri, ACCESS, lambda: None)


async def follows(uri: str) -> None:
    await Feed(SUFFIX, "(objectClass=*)", lambda: None, items={}, cookie="").follow(uri, ACCESS)


@pytest.mark.parametrize("asks", [looks, connects, follows], ids=lambda each: each.__name__)
@on_a_loop
async def test_nothing_else_stands_behind_a_replica_that_hangs(
    uri: str, asks: Callable[[str], Awaitable[None]]
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    asking = [asyncio.ensure_future(asks(uri)) for _ in range(REPLICAS)]
    await asyncio.sleep(0)  # they have begun
    await asyncio.to_thread(lambda: None)
    assert not any(each.done() for each in asking)
    for answer in await asyncio.gather(*asking, return_exceptions=True):
        assert isinstance(answer, DirectoryUnavailable)
