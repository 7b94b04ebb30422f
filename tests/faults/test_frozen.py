"""Processes frozen past their lease and thawed: whoever lost its queue delivers nothing of it any more (J6, J9)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Campaign
from tests.e2e.waiting import until
from tests.faults.cluster import LIGHT, QUICK_TICKS, Cluster
from tests.faults.ledger import Ledger


def assert_it_kept_its_hands_off(cluster: Cluster, name: str, since: float, frozen_at: float, thawed_at: float) -> None:
    """What a server had acknowledged before it was frozen it does not deliver itself once it is thawed.

    `since` is when its newest queue was known to be the one that it lost: what it took before may lie in older ones,
    adopted in earlier rounds, and these it may still own. Excepted is the message in whose last write it was stopped,
    between a look at the clock and the system call: its claim is open, so whoever adopts it knows that it may come
    twice (J8), and the ledger asks for that record.
    """
    lost = {sent.queue_id for sent in list(cluster.loads[name].book) if since < sent.at < frozen_at}
    late = [
        message.queue_id
        for message in list(cluster.sink.received)
        if message.helo == f"{name}.example.net" and message.at > thawed_at and message.queue_id in lost
    ]
    assert len(late) <= 1, late


def test_what_is_frozen_past_its_lease_is_adopted_and_once_thawed_goes_on_with_a_new_queue(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    """In turn all processes of a server, and its switch only."""
    rounds = campaign(2, 40)
    with Cluster(tmp_path, seed=63, settings=QUICK_TICKS, load=LIGHT) as cluster:
        marks = cluster.marks()
        for number in range(rounds):
            name, partner = cluster.random.sample(cluster.names, 2)
            server, queue, began = cluster.servers[name], cluster.newest(name), time.monotonic()
            cluster.under_way(name)
            pids = [server.switch_pids()[0]] if number % 2 else server.pids()
            frozen_at = time.monotonic()
            with server.frozen(pids):
                cluster.wait_for_adoption(partner, of=name)
                cluster.under_way(partner)
                thawed_at = time.monotonic()
            server.wait_for_log("queue lost", rf"queue={queue}\b")
            until(lambda n=name, q=queue: cluster.newest(n) != q, f"{name} opens another queue")  # type: ignore[misc]
            cluster.under_way(name)
            assert_it_kept_its_hands_off(cluster, name, began, frozen_at, thawed_at)
        cluster.assert_nobody_died(marks)
        ledger = publish(cluster.settle(f"{rounds} times a server or its switch frozen, adopted, and thawed"))
        ledger.assert_sound()


def test_who_is_thawed_just_when_its_queue_is_being_adopted_loses_it_or_keeps_it_whole(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    """Frozen until the adopter's record is in the slot, or for about a promise, when whoever is first has the slot."""
    rounds = campaign(1, 20)
    adopted = 0
    with Cluster(tmp_path, seed=67, settings=QUICK_TICKS, load=LIGHT) as cluster:
        for number in range(rounds):
            name, partner = cluster.random.sample(cluster.names, 2)
            server, queue, began = cluster.servers[name], cluster.newest(name), time.monotonic()
            since = cluster.servers[partner].log_size()
            cluster.under_way(name)
            frozen_at = time.monotonic()
            with server.frozen():
                if number % 2:
                    cluster.servers[partner].wait_for_log("peer silent", rf"peer={name}\b", since=since)
                    time.sleep(cluster.random.uniform(0.3, 1.2))  # to no event: the promise is over some time in it
                else:
                    until(cluster.next_slot(queue).exists, f"{queue} is adopted", every_s=0.0005)
                thawed_at = time.monotonic()
            cluster.under_way(name)
            if server.logged("queue lost", rf"queue={queue}\b"):
                adopted += 1
                assert_it_kept_its_hands_off(cluster, name, began, frozen_at, thawed_at)
        title = f"{rounds} servers frozen for about a promise, {adopted} of them adopted"
        publish(cluster.settle(title)).assert_sound()


def test_a_supervisor_that_is_frozen_alone_loses_nothing_to_anybody(
    tmp_path: Path, publish: Callable[[Ledger], Ledger]
) -> None:
    """Its heartbeats stop while its switches write on: the store is the judge."""
    with Cluster(tmp_path, seed=64, settings={"store": {"lease_s": 1.5}}, load=LIGHT) as cluster:
        frozen, partner = cluster.servers["mx1"], cluster.servers["mx2"]
        marks = cluster.marks()
        cluster.under_way("mx1")
        with frozen.frozen([frozen.running().pid]):
            until(lambda: partner.silence_of("mx1") > 3.75, "silence for two leases and a half", 20)
            cluster.under_way("mx1")
        until(lambda: partner.silence_of("mx1") < 1.0, "heartbeats again")
        cluster.assert_nobody_died(marks)
        ledger = publish(cluster.settle("a supervisor frozen alone"))
        ledger.assert_sound()
        assert not cluster.adoptions(marks)
        assert not ledger.duplicates
