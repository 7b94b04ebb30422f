"""The heartbeat cut with both servers alive: nobody adopts anything, and both say what they miss (J7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import Campaign
from tests.e2e.switch import Switch
from tests.e2e.waiting import until
from tests.faults.cluster import LIGHT, Cluster
from tests.faults.ledger import Ledger
from tests.faults.network import Network


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(["mx1", "mx2"]) as network:
        yield network


def test_servers_that_hear_nothing_of_each_other_adopt_nothing_as_long_as_both_live(
    tmp_path: Path, network: Network, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    """And the queue of one that then dies unheard, all the same."""
    cuts = campaign(1, 20)
    settings = {"store": {"lease_s": 1.5}}
    with Cluster(tmp_path, seed=65, balanced=True, network=network, settings=settings, load=LIGHT) as cluster:
        one, other = cluster.servers.values()
        marks = cluster.marks()
        for _ in range(cuts):
            network.cut(cluster.random.choice(cluster.names))
            until(lambda: min(one.silence_of("mx2"), other.silence_of("mx1")) > 3.75, "silence for over two leases", 20)
            assert state_of_peer(one) == "silent"
            before = {name: cluster.delivered_by(name) for name in cluster.names}
            until(lambda b=before: all(cluster.delivered_by(name) > b[name] + 20 for name in b), "both deliver")  # type: ignore[misc]
            for name in cluster.names:
                network.mend(name)
            until(lambda: max(one.silence_of("mx2"), other.silence_of("mx1")) < 1.0, "heartbeats again")
            assert state_of_peer(one) == "serving"
        assert not cluster.adoptions(marks)
        cluster.assert_nobody_died(marks)
        network.cut("mx2")
        until(lambda: one.silence_of("mx2") > 1.5, "silence")
        cluster.kill("mx2")
        cluster.wait_for_adoption("mx1", of="mx2")
        network.mend("mx2")
        cluster.start("mx2")
        publish(cluster.settle(f"{cuts} times the heartbeat cut, and a server killed unheard")).assert_sound()


def state_of_peer(server: Switch) -> str:
    """What `nightmail status` says of the other server."""
    [peer] = server.facts("status")["peers"]
    return peer["state"]
