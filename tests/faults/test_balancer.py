"""A pair behind a real HAProxy: equal shares, and new mail is taken while a server dies or leaves (R4, R7, R11)."""

from __future__ import annotations

import smtplib
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from tests.conftest import Campaign
from tests.e2e.waiting import until
from tests.faults.cluster import Cluster
from tests.faults.ledger import Ledger
from tests.faults.load import Fate


def test_connections_are_spread_in_equal_shares(tmp_path: Path) -> None:
    with Cluster(tmp_path, seed=40, balanced=True) as cluster:
        balancer = cluster.balancer
        assert balancer is not None
        before = balancer.sessions()
        for _ in range(100):
            with smtplib.SMTP("127.0.0.1", balancer.port, timeout=10) as client:
                client.noop()
        given = {name: count - before[name] for name, count in balancer.sessions().items()}
        assert abs(given["mx1"] - given["mx2"]) <= 5, given


def test_new_mail_is_taken_while_a_server_is_killed_and_adopted(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    kills = campaign(2, 20)
    with Cluster(tmp_path, seed=41, balanced=True) as cluster:
        load, balancer = cluster.loads["balancer"], cluster.balancer
        assert balancer is not None
        longest_s = 0.0
        for _ in range(kills):
            victim, survivor = cluster.random.sample(cluster.names, 2)
            cluster.under_way("balancer")
            killed = time.monotonic()
            cluster.kill(victim)
            cluster.wait_for_adoption(survivor, victim)
            taken = sorted(sent.at for sent in list(load.book) if sent.fate is Fate.ACKNOWLEDGED and sent.at > killed)
            longest_s = max(longest_s, taken[0] - killed, *(b - a for a, b in pairwise(taken)))
            cluster.servers[victim].start()
            until(lambda: set(balancer.states().values()) == {"UP"}, "both are up again", 20)
        ledger = publish(cluster.settle(f"{kills} kills behind HAProxy, longest pause {longest_s:.2f} s"))
        ledger.assert_sound()
        assert longest_s < 3.0
        assert not any(sent.reply.startswith("5") for sent in load.book)
