"""The shared store out of reach of one server, of all, or full: what is promised is kept, and nobody dies (J3, J11)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.conftest import Campaign
from tests.e2e.switch import Settings
from tests.e2e.waiting import until
from tests.faults.cluster import LIGHT, QUICK_TICKS, Cluster
from tests.faults.ledger import Ledger
from tests.faults.load import Fate
from tests.faults.remote_store import remote_mount
from tests.faults.small_disk import small_disk

IMPATIENT: Settings = {"store": {"lease_s": 0.5, "idle_tick_s": 1.0, "commit_wait_s": 1.0, "answer_timeout_s": 4.0}}


def refusals(cluster: Cluster, load: str) -> list[str]:
    return [sent.reply for sent in list(cluster.loads[load].book) if sent.fate is Fate.REFUSED]


def wait_for_refusals(cluster: Cluster, load: str) -> None:
    seen = len(refusals(cluster, load))
    until(lambda: len(refusals(cluster, load)) > seen + 5, f"{load} is refused mail", 30)


def test_a_server_that_alone_does_not_reach_the_store_is_adopted_and_returns_by_itself(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    """It says itself that it is cut off: new clients are better off with its partner, and one promise is enough."""
    rounds = campaign(1, 20)
    with remote_mount(tmp_path / "shared", tmp_path / "mount") as mount, Cluster(
        tmp_path, seed=68, settings=IMPATIENT, disks={"mx1": mount.path}, load=LIGHT
    ) as cluster:  # fmt: skip
        cut_off = cluster.servers["mx1"]
        marks = cluster.marks()
        for _ in range(rounds):
            queue = cluster.newest("mx1")
            cluster.under_way("mx1")
            with mount.out_of_reach():
                wait_for_refusals(cluster, "mx1")
                cluster.wait_for_adoption("mx2", of="mx1", timeout_s=30)
                assert cut_off.http("/live")[0] == 200
                assert cut_off.http("/ready")[0] == 404
                cluster.under_way("mx2")
            cut_off.wait_for_log("queue lost", rf"queue={queue}\b")
            until(lambda q=queue: cluster.newest("mx1") != q, "mx1 opens another queue")  # type: ignore[misc]
            cluster.under_way("mx1")
        cluster.assert_nobody_died(marks)
        ledger = publish(cluster.settle(f"{rounds} times the store out of reach of one"))
        ledger.assert_sound()
        assert {reply[:3] for reply in refusals(cluster, "mx1")} <= {"451", "421"}


def test_a_store_that_nobody_reaches_is_nobodys_to_adopt_and_all_go_on_once_it_is_back(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    """Longer than even a server that looks well is waited for: who can't put has no right to find another too slow."""
    rounds = campaign(1, 20)
    with ExitStack() as stack:
        names = ("mx1", "mx2")
        mounts = {
            name: stack.enter_context(remote_mount(tmp_path / "shared", tmp_path / name / "disk")) for name in names
        }
        disks = {name: mount.path for name, mount in mounts.items()}
        cluster = stack.enter_context(Cluster(tmp_path, seed=69, settings=IMPATIENT, disks=disks, load=LIGHT))
        marks = cluster.marks()
        for _ in range(rounds):
            for name in names:
                cluster.under_way(name)
            with mounts["mx1"].out_of_reach(), mounts["mx2"].out_of_reach():
                for name in names:
                    wait_for_refusals(cluster, name)
                time.sleep(6.0 + cluster.random.random())  # how long it is away: over ten promises
            for name in names:
                cluster.under_way(name)
        cluster.assert_nobody_died(marks)
        ledger = publish(cluster.settle(f"{rounds} times the store out of reach of all"))
        ledger.assert_sound()
        assert not cluster.adoptions(marks)


def test_a_full_disk_puts_mail_off_and_service_returns_with_the_room(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    rounds = campaign(1, 20)
    settings = {"smtp": {"message_size_limit_bytes": 2_000_000}, **QUICK_TICKS}
    with small_disk(tmp_path / "small", 4 << 30) as disk, Cluster(
        tmp_path, seed=70, settings=settings, load=LIGHT, disks={"mx1": disk.path, "mx2": disk.path}
    ) as cluster:  # fmt: skip
        marks = cluster.marks()
        for _ in range(rounds):
            for name in cluster.names:
                cluster.under_way(name)
            with disk.full():
                assert disk.free_bytes() < 4096
                for name in cluster.names:
                    wait_for_refusals(cluster, name)
        for name in cluster.names:
            cluster.under_way(name)
        cluster.assert_nobody_died(marks)
        ledger = publish(cluster.settle(f"{rounds} times a full disk"))
        ledger.assert_sound()
        replies = {reply[:3] for name in cluster.names for reply in refusals(cluster, name)}
        assert replies <= {"421", "451", "452"}, replies
        assert not cluster.adoptions(marks)
