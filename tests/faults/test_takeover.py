"""Servers that die under load, and survivors that adopt their queues: nothing acknowledged is lost (R2, R5, R6, R8)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.conftest import Campaign
from tests.faults.cluster import Cluster
from tests.faults.ledger import Ledger


def test_a_survivor_adopts_the_queue_of_a_server_that_was_killed_and_delivers_it(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    kills = campaign(2, 20)
    with Cluster(tmp_path, seed=30) as cluster:
        for _ in range(kills):
            victim, survivor = cluster.random.sample(cluster.names, 2)
            cluster.under_way(victim)
            cluster.kill(victim)
            cluster.wait_for_adoption(survivor, victim)
            cluster.servers[victim].start()
        publish(cluster.settle(f"{kills} servers killed and adopted")).assert_sound()


def test_mail_is_taken_by_the_others_while_a_server_is_dead(tmp_path: Path) -> None:
    with Cluster(tmp_path, seed=31) as cluster:
        cluster.under_way("mx1")
        cluster.kill("mx1")
        cluster.under_way("mx2")
        cluster.wait_for_adoption("mx2", "mx1")
        cluster.under_way("mx2")
