"""Every server killed at once, and single processes of a cluster: what returns finds all that was acknowledged (R6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.conftest import Campaign
from tests.e2e.switch import Settings
from tests.e2e.waiting import until
from tests.faults.cluster import LIGHT, QUICK_TICKS, Cluster
from tests.faults.ledger import Ledger


def wait_for_adoptions(cluster: Cluster, queues: set[str], marks: Mapping[str, int]) -> None:
    until(lambda: queues <= {queue for _, queue in cluster.adoptions(marks)}, f"{queues} are adopted", 20)


def test_both_servers_killed_at_once_deliver_everything_when_they_return(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    rounds = campaign(1, 20)
    with Cluster(tmp_path, seed=61, balanced=True, settings=QUICK_TICKS, load=LIGHT) as cluster:
        for number in range(rounds):
            cluster.under_way("balancer")
            names = cluster.random.sample(cluster.names, 2)
            marks, left = cluster.marks(), {cluster.newest(name) for name in names}
            cluster.kill(*names)
            if number % 2:
                cluster.start(*names)
            else:
                cluster.start(names[0])
                cluster.wait_for_adoption(names[0], of=names[1])
                cluster.start(names[1])
            wait_for_adoptions(cluster, left, marks)
        publish(cluster.settle(f"{rounds} times both servers killed at once")).assert_sound()


def test_a_process_killed_alone_is_started_again_and_its_own_server_goes_on_with_its_queue(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    """Nobody else has to: a lock that is free proves the death, long before the promise is over (J7)."""
    rounds = campaign(1, 10)
    settings: Settings = {"server": {"workers": 2}, "store": {"lease_s": 30.0, "idle_tick_s": 30.0}}
    with Cluster(tmp_path, seed=62, balanced=True, settings=settings, load=LIGHT) as cluster:
        marks = cluster.marks()
        left: list[tuple[str, str]] = []
        for number in range(2 * rounds):
            name, switch = cluster.names[number % 2], number // 2 % 2
            left.append((name, cluster.newest(name, switch)))
            cluster.under_way("balancer")
            cluster.kill_switch(name, switch)
            wait_for_adoptions(cluster, {left[-1][1]}, marks)
        for number in range(rounds):
            name = cluster.names[number % 2]
            left += [(name, cluster.newest(name, switch)) for switch in (0, 1)]
            cluster.under_way("balancer")
            cluster.kill(name)  # the supervisor is struck, and the kernel strikes its children
            cluster.start(name)
            wait_for_adoptions(cluster, {queue for _, queue in left}, marks)
        assert sorted(cluster.adoptions(marks)) == sorted(left)
        assert all(server.logged("switch died", "SIGKILL") for server in cluster.servers.values())
        title = f"{2 * rounds} switches and {rounds} supervisors killed alone"
        publish(cluster.settle(title)).assert_sound()
