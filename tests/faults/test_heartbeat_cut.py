"""The heartbeat cut with both servers alive: nobody adopts anything, and both say what they miss (J7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import Campaign
from tests.e2e.waiting import until
from tests.faults.cluster import LIGHT, Cluster
from tests.faults.ledger import Ledger
from tests.faults.network import Network


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(["mx1", "mx2"]) as network:
        yield network


def test_servers_that_hear_nothing_of_each_other_adopt_nothing_while_both_live(
    tmp_path: Path, network: Network, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    cuts = campaign(1, 10)
    settings = {"store": {"lease_s": 2.0}}
    with Cluster(tmp_path, seed=65, balanced=True, network=network, settings=settings, load=LIGHT) as cluster:
        one, other = cluster.servers.values()
        marks = cluster.marks()
        for _ in range(cuts):
            network.cut(cluster.random.choice(cluster.names))
            until(
                lambda: min(one.silence_of("mx2"), other.silence_of("mx1")) > 5.0,
                "silence for more than two leases",
                20,
            )
            [seen] = one.facts("status")["peers"]
            assert (seen["server"], seen["state"]) == ("mx2", "silent")
            before = {name: cluster.delivered_by(name) for name in cluster.names}
            until(lambda b=before: all(cluster.delivered_by(name) > b[name] + 20 for name in b), "both deliver")  # type: ignore[misc]
            for name in cluster.names:
                network.mend(name)
            until(lambda: max(one.silence_of("mx2"), other.silence_of("mx1")) < 1.0, "heartbeats again")
            [seen] = one.facts("status")["peers"]
            assert seen["state"] == "serving"
        assert not cluster.adoptions(marks)
        cluster.assert_nobody_died(marks)
        ledger = publish(cluster.settle(f"{cuts} times the heartbeat cut, both alive"))
        ledger.assert_sound()
        assert not ledger.duplicates


def test_a_server_that_dies_unheard_is_adopted_all_the_same(
    tmp_path: Path, network: Network, publish: Callable[[Ledger], Ledger]
) -> None:
    with Cluster(tmp_path, seed=66, balanced=True, network=network, load=LIGHT) as cluster:
        network.cut("mx1")
        until(lambda: cluster.servers["mx2"].silence_of("mx1") > 2.0, "silence", 20)
        cluster.under_way("balancer")
        cluster.kill("mx1")
        cluster.wait_for_adoption("mx2", of="mx1")
        network.mend("mx1")
        cluster.start("mx1")
        publish(cluster.settle("a server killed while its heartbeat was cut")).assert_sound()
