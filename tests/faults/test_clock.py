"""The time of day set back and forward on servers that run: nobody owns, loses or waits for anything by it (J12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.conftest import Campaign
from tests.e2e.processes import is_alive
from tests.e2e.waiting import until
from tests.faults.cluster import LIGHT, QUICK_TICKS, Cluster
from tests.faults.ledger import Ledger
from tests.faults.load import Fate
from tests.faults.wall_clock import SHARED_MEMORY, WallClock, left_behind

DAY_S = 86_400


@pytest.fixture
def clocks(tmp_path: Path) -> Iterator[dict[str, WallClock]]:
    before = left_behind()
    yield {name: WallClock(tmp_path / f"{name}.time") for name in ("mx1", "mx2")}
    for name, pid in left_behind() - before:
        if not is_alive(pid):
            (SHARED_MEMORY / name).unlink(missing_ok=True)


def wait_until_it_shows(cluster: Cluster, name: str, days: int, since: int) -> None:
    """The server's log, and so everything that asks for the time of day, has the new date."""
    date = f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}"
    cluster.servers[name].wait_for_log(rf"^time={date}T.*event=delivery", since=since)


def test_servers_whose_clocks_are_set_back_and_forward_under_load_go_on_and_adopt_as_ever(
    tmp_path: Path, clocks: dict[str, WallClock], campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    """The adopter's clock is days behind that of the server which died: its messages are not put off for that."""
    rounds = campaign(1, 20)
    environment = {name: clock.environment for name, clock in clocks.items()}
    with Cluster(tmp_path, seed=71, settings=QUICK_TICKS, load=LIGHT, environment=environment) as cluster:
        for _ in range(rounds):
            ahead, behind = cluster.random.sample(cluster.names, 2)
            for name in cluster.names:
                cluster.under_way(name)
            marks = cluster.marks()
            for name, days in ((ahead, 1), (behind, -1)):
                clocks[name].set_by(days * DAY_S)
                wait_until_it_shows(cluster, name, days, marks[name])
            done = {name: cluster.delivered_by(name) for name in cluster.names}
            until(lambda d=done: all(cluster.delivered_by(n) > d[n] + 100 for n in d), "both deliver", 30)  # type: ignore[misc]
            assert not cluster.adoptions(marks)
            queue = cluster.newest(ahead)
            cluster.kill(ahead)
            cluster.wait_for_adoption(behind, of=ahead, timeout_s=10)
            cluster.servers[behind].wait_for_log("queue closed", rf"queue={queue}\b")
            cluster.start(ahead)
            for name in cluster.names:
                clocks[name].set_by(0)
        acknowledged = [
            sent for load in cluster.loads.values() for sent in list(load.book) if sent.fate is Fate.ACKNOWLEDGED
        ]
        publish(cluster.settle(f"{rounds} times clocks two days apart, and a server killed")).assert_sound()
        assert len({sent.queue_id for sent in acknowledged}) == len(acknowledged)
