"""The time of day of a shadow is set back while its master is away: it is followed again as soon as it is back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.directory.acknowledged import Acknowledged
from tests.directory.slapd_server import Slapd
from tests.directory.test_lookups import eventually
from tests.directory.time_of_day import TimeOfDay
from tests.eventloop import on_a_loop

from nightmail.supervisor.replica import ReplicaChild
from nightmail.world import SystemClock

HOURS_S = 5 * 3600


class ClockOf(SystemClock):
    """The clock of the machine whose time of day a test sets."""

    def __init__(self, time_of_day: TimeOfDay) -> None:
        self._time_of_day = time_of_day

    def wall(self) -> float:
        return super().wall() + self._time_of_day.ahead_s


def as_acknowledged(writes: Acknowledged, shadow: Slapd) -> bool:
    return shadow.is_up() and not writes.contradictions(shadow)


@on_a_loop
async def test_a_shadow_whose_time_of_day_is_set_back_by_hours_asks_its_master_at_once_and_not_in_hours(
    tmp_path: Path,
) -> None:
    writes = Acknowledged()
    time_of_day = TimeOfDay(tmp_path)
    time_of_day.set_by(HOURS_S)
    with Slapd(tmp_path / "master") as master:
        shadow = Slapd(tmp_path / "shadow", 2, master.uri, environment=time_of_day.environment)
        child = ReplicaChild(shadow.heard, lambda words: None, ClockOf(time_of_day))
        running = asyncio.create_task(child.run())
        try:
            with master.as_account("writer") as directory:
                writes.add(directory, 3)
            await eventually(lambda: as_acknowledged(writes, shadow))
            master.kill()
            await eventually(lambda: shadow.has_said("retrying"))
            time_of_day.set_by(0)
            master.start()
            with master.as_account("writer") as directory:
                writes.add(directory, 3)
            await eventually(lambda: as_acknowledged(writes, shadow))
        finally:
            running.cancel()
            await asyncio.wait([running])
