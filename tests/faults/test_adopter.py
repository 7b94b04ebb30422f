"""Three servers, two of which die in turn: the second is the one that adopts what the first left (R5, R6)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from tests.conftest import Campaign
from tests.e2e.waiting import until
from tests.faults.cluster import LIGHT, QUICK_TICKS, Cluster
from tests.faults.ledger import Ledger
from tests.faults.load import Fate

Moment = Callable[[Cluster, str, Sequence[str], Mapping[str, int]], str]


def content_of(slot: Path) -> bytes:
    """What is in a slot; nothing once its queue was closed and it is deleted."""
    with contextlib.suppress(FileNotFoundError):
        return slot.read_bytes()
    return b""


def as_soon_as_it_prepares(cluster: Cluster, queue: str, survivors: Sequence[str], marks: Mapping[str, int]) -> str:
    """While the promise runs out: who comes first prepares first."""

    def preparing() -> str:
        ready = [n for n in survivors if cluster.servers[n].logged("seems abandoned", queue, since=marks[n])]
        return ready[0] if ready else ""

    return until(preparing, f"somebody minds {queue}", every_s=0.005)


def in_the_middle_of_it(cluster: Cluster, queue: str, survivors: Sequence[str], _: Mapping[str, int]) -> str:
    """Its record is in the slot: it owns the queue and has delivered nothing, if it knows that already."""
    log = cluster.tail(queue).parent

    def adopters() -> list[str]:
        # A put of the dead one's may have been under way, and whoever adopted may be quicker than we are.
        found = [content_of(slot) for slot in sorted(log.glob("[0-9]*"))[-20:]]
        return [name for name in survivors if any(f"/{name}/run/alive/".encode() in each for each in found)]

    return until(adopters, f"{queue} is adopted", every_s=0.0005)[0]


def once_it_delivers(cluster: Cluster, queue: str, survivors: Sequence[str], _: Mapping[str, int]) -> str:
    """It has adopted the queue, and delivers from it."""

    def adopters() -> list[str]:
        return [name for name in survivors if cluster.servers[name].logged("queue adopted", rf"queue={queue}\b")]

    return until(adopters, f"{queue} is adopted")[0]


MOMENTS: tuple[Moment, ...] = (in_the_middle_of_it, once_it_delivers, as_soon_as_it_prepares)


def longest_pause_s(cluster: Cluster) -> float:
    taken = sorted(sent.at for sent in list(cluster.loads["balancer"].book) if sent.fate is Fate.ACKNOWLEDGED)
    return max(b - a for a, b in pairwise(taken))


def wait_until_it_runs_or_is_done(cluster: Cluster, third: str, queue: str, since: int) -> None:
    """The third server adopts the queue, if the second had not come to its end before."""
    log = cluster.servers[third].logged
    until(
        lambda: log("queue adopted", rf"queue={queue}\b", since=since) or cluster.is_closed(queue),
        f"{third} has {queue}",
        20,
    )


def test_the_third_server_goes_on_when_the_second_dies_adopting_what_the_first_left(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    rounds = campaign(1, 21)
    with Cluster(tmp_path, seed=60, servers=3, balanced=True, settings=QUICK_TICKS, load=LIGHT) as cluster:
        for number in range(rounds):
            cluster.under_way("balancer")
            first = cluster.random.choice(cluster.names)
            marks, left = cluster.marks(), [cluster.newest(first)]
            cluster.kill(first)
            survivors = [name for name in cluster.names if name != first]
            second = MOMENTS[number % len(MOMENTS)](cluster, left[0], survivors, marks)
            left.append(cluster.newest(second))
            cluster.kill(second)
            third = next(name for name in survivors if name != second)
            for queue in left:
                wait_until_it_runs_or_is_done(cluster, third, queue, marks[third])
            assert (third, left[1]) in cluster.adoptions(marks)
            cluster.under_way("balancer")
            cluster.start(first, second)
        pause_s = longest_pause_s(cluster)
        ledger = publish(cluster.settle(f"{rounds} servers killed, and their adopters, longest pause {pause_s:.2f} s"))
        ledger.assert_sound()
        assert pause_s < 5.0
