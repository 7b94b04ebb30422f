"""Planned moves: a server that drains or stops hands its queues over, and nothing is lost, doubled or refused."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from tests.conftest import Campaign
from tests.e2e.switch import Switch
from tests.e2e.waiting import until
from tests.faults.cluster import Cluster
from tests.faults.ledger import Ledger
from tests.faults.load import Fate


def moment(server: Switch, *patterns: str) -> float:
    """When a server last logged such a line."""
    line = server.wait_for_log(*patterns, timeout_s=20)[-1]
    found = re.search(r"time=(\S+)Z", line)
    assert found is not None
    return datetime.fromisoformat(found[1] + "+00:00").timestamp()


def test_a_rolling_restart_behind_the_balancer_loses_doubles_and_refuses_nothing(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    rounds = campaign(1, 10)
    with Cluster(tmp_path, seed=50, balanced=True) as cluster:
        balancer, load = cluster.balancer, cluster.loads["balancer"]
        assert balancer is not None
        longest_s = 0.0
        for name in cluster.names * rounds:
            leaving, staying = cluster.servers[name], next(each for each in cluster.names if each != name)
            cluster.under_way("balancer")
            assert leaving.stop() == 0
            cluster.wait_for_adoption(staying, name)
            given_up = moment(leaving, "queues given up")
            longest_s = max(longest_s, moment(cluster.servers[staying], "queue adopted") - given_up)
            leaving.start()
            until(lambda: set(balancer.states().values()) == {"UP"}, "both are up again", 20)
        ledger = publish(cluster.settle(f"{2 * rounds} planned restarts, longest handover {longest_s:.2f} s"))
        ledger.assert_sound()
        assert not ledger.duplicates
        assert not ledger.unanswered
        assert {sent.reply[:3] for sent in load.book if sent.fate is Fate.REFUSED} <= {"421"}


def test_a_server_that_is_drained_runs_on_without_mail_and_takes_it_again_after_a_restart(tmp_path: Path) -> None:
    with Cluster(tmp_path, seed=51, balanced=True) as cluster:
        balancer, drained = cluster.balancer, cluster.servers["mx1"]
        assert balancer is not None
        cluster.under_way("balancer")
        done = drained.nightmail("drain")
        assert done.returncode == 0, done.stderr
        cluster.wait_for_adoption("mx2", "mx1")
        cluster.under_way("balancer")
        assert drained.facts("status")["state"] == "draining"
        assert drained.http("/ready") == (404, "the server is draining\n")
        assert balancer.states()["mx1"] != "UP"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", drained.port), 5)
        assert drained.nightmail("drain").returncode == 0
        assert drained.stop() == 0
        drained.start()
        until(lambda: balancer.states()["mx1"] == "UP", "the balancer sends clients again", 20)
