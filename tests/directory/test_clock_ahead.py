"""The clock of the master is hours ahead: writes go on, it is named, and what it leaves behind can be mended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.directory.acknowledged import Acknowledged
from tests.directory.slapd_server import SUFFIX, Slapd
from tests.directory.test_lookups import asking, eventually
from tests.directory.time_of_day import TimeOfDay
from tests.e2e.waiting import until

from nightmail.directory.known import Known
from nightmail.directory.parts import Part
from nightmail.directory.standing import Standing, look_at, why_not_there
from nightmail.directory.threats import numbered_anew
from nightmail.directory.tree import item_of
from nightmail.world import SystemClock

HOURS_S = 5 * 3600


@pytest.fixture
def clock(tmp_path: Path) -> TimeOfDay:
    return TimeOfDay(tmp_path)


@pytest.fixture
def pair(clock: TimeOfDay, tmp_path: Path) -> Iterator[tuple[Slapd, Slapd]]:
    """A master by that clock, and a shadow by the machine's."""
    with (
        Slapd(tmp_path / "master", environment=clock.environment) as master,
        Slapd(tmp_path / "shadow", 2, master.uri) as shadow,
    ):
        yield master, shadow


def write_confirmed(writes: Acknowledged, master: Slapd, shadow: Slapd) -> None:
    with master.as_account("writer") as directory:
        writes.add(directory, 3)
        writes.change(directory, 1)
        writes.delete(directory, 1)
        written = directory.written
    assert asyncio.run(why_not_there(shadow.uri, shadow.access("reader"), written, SystemClock())) == ""


def standings(master: Slapd, shadow: Slapd) -> tuple[Standing, Standing]:
    uris = {"mx1": master.uri, "mx2": shadow.uri}
    first, second = look_at(uris, {Part(SUFFIX): "mx1"}, master.access("reader"), SystemClock())
    return first, second


def leave_numbers_of_the_future(clock: TimeOfDay, writes: Acknowledged, pair: tuple[Slapd, Slapd]) -> None:
    clock.set_by(HOURS_S)
    write_confirmed(writes, *pair)
    clock.set_by(0)


def test_with_the_masters_clock_ahead_writes_are_confirmed_and_status_names_it(
    pair: tuple[Slapd, Slapd], clock: TimeOfDay
) -> None:
    writes = Acknowledged()
    write_confirmed(writes, *pair)
    assert [each.warnings for each in standings(*pair)] == [(), ()]
    clock.set_by(HOURS_S)
    write_confirmed(writes, *pair)
    master, shadow = standings(*pair)
    assert master.clock_s == pytest.approx(HOURS_S, abs=2)
    assert shadow.clock_s == pytest.approx(0, abs=2)
    assert "its clock is +18,000 s off: set it right" in master.warnings[0]
    assert all("s ahead of time" in each.warnings[-1] for each in (master, shadow))
    clock.set_by(0)
    write_confirmed(writes, *pair)
    assert not writes.contradictions(pair[0])
    assert not writes.contradictions(pair[1])


def test_nobody_is_taken_to_be_behind_for_a_clock_and_changes_are_heard_of(
    pair: tuple[Slapd, Slapd], clock: TimeOfDay
) -> None:
    async def scene() -> None:
        async with asking(*pair, lag_limit_s=0.6) as asks:
            for server in pair:
                await asks.until_asked(server)
            for number, ahead_s in enumerate((HOURS_S, 0)):
                clock.set_by(ahead_s)
                address = f"new{number}@x.org"
                assert await asks.ask(address) == [Known()]
                item = item_of("mailboxes", address, "", SUFFIX)
                with pair[0].as_account("writer") as directory:
                    directory.add([item])
                await eventually(lambda address=address: asks.is_missing(address))  # type: ignore[misc]
                until(lambda item=item: pair[1].has(item.dn), "it is on the shadow")  # type: ignore[misc]
                assert (await asks.ask(address))[0].is_mailbox
                before = dict(asks.lookups.asked)
                await asyncio.sleep(1.0)  # past the limit, if anything had begun to count as a lag
                await asks.ask(f"nobody{number}@x.org")
                await asks.ask(f"nobody-else{number}@x.org")
                assert all(asks.lookups.asked[server.uri] > before[server.uri] for server in pair)

    asyncio.run(scene())


def test_numbers_of_the_future_hide_from_a_shadow_what_was_written_while_it_was_away_and_status_says_how_to_mend_it(
    pair: tuple[Slapd, Slapd], clock: TimeOfDay
) -> None:
    """What slapd does, which is why `status` warns of it; and that the remedy is one."""
    master, shadow = pair
    writes = Acknowledged()
    leave_numbers_of_the_future(clock, writes, pair)
    shadow.stop()  # killed, it could have lost how far it was, and compare what it has after all
    shadow.believe_itself()
    with master.as_account("writer") as directory:
        writes.add(directory, 3)
        writes.delete(directory, 1)
    shadow.start()
    write_confirmed(writes, master, shadow)
    assert len(writes.contradictions(shadow)) == 4
    first, second = standings(master, shadow)
    assert second.behind == 4
    assert "`restore` numbers anew, and `reseed` the shadow" in first.warnings[0]

    master.begin_anew(numbered_anew(master.dump(), time.time()))  # as `restore` does
    shadow.begin_anew(master.dump())  # as `reseed` does
    assert [each.warnings for each in standings(master, shadow)] == [(), ()]
    shadow.kill()
    with master.as_account("writer") as directory:
        writes.add(directory, 3)
        writes.delete(directory, 1)
    shadow.start()
    until(lambda: not writes.contradictions(shadow), "the shadow has what was written while it was away")
    assert not writes.contradictions(master)
