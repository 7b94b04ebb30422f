"""Master and shadow can't reach each other, and everybody else reaches both of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.directory.acknowledged import Acknowledged
from tests.directory.slapd_server import Slapd
from tests.directory.test_lookups import Asking, asking, eventually
from tests.e2e.waiting import until
from tests.faults.network import Network

LAG_LIMIT_S = 2.0
JOINED_S = 120.0
"""TCP tries again ever more rarely, at the end as late as the two have been parted, which a busy machine draws out."""


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(["mx1", "mx2"]) as network:
        yield network


@pytest.fixture
def pair(network: Network, tmp_path: Path) -> Iterator[tuple[Slapd, Slapd]]:
    """A master and its shadow, each in a network of its own."""
    places = [{"host": network.address(name), "prefix": network.command(name)} for name in ("mx1", "mx2")]
    with (
        Slapd(tmp_path / "master", **places[0]) as master,  # type: ignore[arg-type]  # words for either
        Slapd(tmp_path / "shadow", 2, master.uri, **places[1]) as shadow,  # type: ignore[arg-type]  # words for either
    ):
        yield master, shadow


async def asked_of(asks: Asking, server: Slapd, addresses: list[str]) -> int:
    """How many of these addresses, which somebody has, are looked up at one of the replicas."""
    before = asks.lookups.asked[server.uri]
    for address in addresses:
        assert (await asks.ask(address))[0].is_mailbox
    return asks.lookups.asked[server.uri] - before


def test_parted_replicas_are_both_read_up_to_the_lag_limit_then_the_master_alone_and_both_again_once_joined(
    pair: tuple[Slapd, Slapd], network: Network
) -> None:
    master, shadow = pair
    writes = Acknowledged()
    addresses = [f"box{number}@x.org" for number in range(100)]

    async def scene() -> None:
        with master.as_account("writer") as directory:
            writes.add(directory, 101)
            until(lambda: not writes.contradictions(shadow), "the shadow has everything")
            async with asking(*pair, lag_limit_s=LAG_LIMIT_S) as asks:
                for server in pair:
                    await asks.until_asked(server)
                network.part()
                writes.change(directory, 100)
                assert 0 < await asked_of(asks, shadow, addresses[:20]) < 20
                [gone] = writes.delete(directory)
                await eventually(lambda: asks.lookups._were_in_sync == {master.uri})
                assert await asked_of(asks, shadow, addresses[20:60]) == 0
                assert shadow.has(gone)
                network.join()
                until(lambda: not writes.contradictions(shadow), "the shadow has everything", JOINED_S)
                assert not writes.contradictions(master)
                await eventually(lambda: len(asks.lookups._were_in_sync) == 2)
                assert await asked_of(asks, shadow, addresses[60:]) > 0

    asyncio.run(scene())
