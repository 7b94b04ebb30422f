"""Routing from a directory with a part for each site: they are in force together, and followed each by itself."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.directory.sites import DR, MAIN, Sites
from tests.directory.slapd_server import SUFFIX, Slapd
from tests.supervisor.test_following import Following, following

from nightmail.directory.last_copy import LastCopy, PartCopy, read_copy, write_copy
from nightmail.directory.tree import Item, item_of
from nightmail.errors import ConfigInvalid
from nightmail.supervisor.part_following import PartFollowing


def domain(name: str, base: str) -> Item:
    """A domain in a part."""
    return item_of("domains", name, "relay", base)


HERE, THERE = domain("main.example", MAIN.base), domain("dr.example", DR.base)
MORE_HERE, MORE_THERE = domain("more.main.example", MAIN.base), domain("more.dr.example", DR.base)
RULES = "(objectClass=nmMailDomain)"


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Sites]:
    sites = Sites(tmp_path, begun=False)
    sites.mx1.begin("main", HERE)
    sites.mx3.begin("dr", THERE)
    with sites.mx1, sites.mx3:
        sites.until_everywhere(HERE.dn, THERE.dn, filter_text=RULES)
        yield sites


def parted(sites: Sites, place: Path, *servers: Slapd) -> contextlib.AbstractAsyncContextManager[Following]:
    """Follow at these, by default at the masters of both parts."""
    masters = {DR: sites.mx3, MAIN: sites.mx1}
    return following(place, *(servers or (sites.mx1, sites.mx3)), masters=masters)


def test_both_parts_are_in_force_together_and_a_change_of_each_comes_into_force(sites: Sites, tmp_path: Path) -> None:
    async def scene() -> None:
        async with parted(sites, tmp_path) as follows:
            assert follows.takes("main.example")
            assert follows.takes("dr.example")
            sites.mx3.write(MORE_THERE)
            await follows.until(lambda: follows.takes("more.dr.example"))
            sites.mx1.write(MORE_HERE)
            await follows.until(lambda: follows.takes("more.main.example") and follows.announced >= 2)
            assert follows.reloads.source_of(MAIN) == follows.reloads.source_of(DR) == sites.mx1.uri
            assert (follows.reloads.entries_of(DR), follows.reloads.entries) == (2, 4)

    asyncio.run(scene())


def test_a_part_that_is_lost_at_one_replica_is_followed_at_another_and_so_is_no_other_part(
    sites: Sites, tmp_path: Path
) -> None:
    async def scene() -> None:
        async with parted(sites, tmp_path) as follows:
            sites.mx1.kill()
            shutil.rmtree(sites.mx1.of("dr").path)
            sites.mx1.start(provider="ldap://127.0.0.1:1")
            await follows.until(lambda: follows.reloads.source_of(DR) == sites.mx3.uri)
            await follows.until(lambda: bool(follows.reloads.source_of(MAIN)))

    asyncio.run(scene())


def test_what_was_seen_of_a_master_that_was_restored_is_given_up_for_its_part_alone(
    sites: Sites, tmp_path: Path
) -> None:
    sites.mx3.write(domain("second.dr.example", DR.base))  # the first entries have no number of a master

    async def scene() -> None:
        async with parted(sites, tmp_path, sites.mx3, sites.mx1) as follows:
            sites.mx1.write(MORE_HERE)
            await follows.until(lambda: follows.takes("more.main.example"))
        copy = read_copy(follows.copy, SUFFIX)
        assert copy is not None
        ahead = re.sub(r"(?<=[=;])20\d\d", "2099", copy.parts[DR.base].cookie)
        newer = PartCopy(ahead, copy.parts[DR.base].content | {"another": MORE_THERE})
        write_copy(follows.copy, msgspec.structs.replace(copy, parts={**copy.parts, DR.base: newer}))
        with capture_logs() as logs:
            async with parted(sites, tmp_path, sites.mx3, sites.mx1) as follows:
                assert follows.takes("more.dr.example")
                await follows.until(lambda: not follows.takes("more.dr.example"))
                assert all(follows.takes(name) for name in ("dr.example", "main.example", "more.main.example"))
        assert [line["part"] for line in logs if line["event"] == "directory went back"] == [DR.base]

    asyncio.run(scene())


def test_a_shadow_of_a_part_that_is_older_than_what_was_seen_of_it_is_waited_for(sites: Sites, tmp_path: Path) -> None:
    async def scene() -> None:
        sites.mx1.kill()
        sites.mx1.start(provider="ldap://127.0.0.1:1")  # of dr it is sent nothing more
        async with parted(sites, tmp_path, sites.mx3, sites.mx1) as follows:
            sites.mx3.write(MORE_THERE)
            await follows.until(lambda: follows.takes("more.dr.example"))
        sites.mx3.kill()
        async with parted(sites, tmp_path, sites.mx3, sites.mx1) as follows:
            await follows.until(lambda: follows.reloads.source_of(DR) == sites.mx1.uri)
            assert follows.takes("more.dr.example")

    asyncio.run(scene())


def test_a_part_that_nobody_can_be_asked_for_stays_as_it_was_and_the_others_go_on(tmp_path: Path) -> None:
    sites = Sites(tmp_path, begun=False)
    sites.mx1.begin("main", HERE)
    known = {DR.base: PartCopy("", {"there": THERE})}
    write_copy(str(tmp_path / "directory.last"), LastCopy(suffix=SUFFIX, parts=known, in_force={THERE.dn: THERE}))

    async def scene() -> None:
        with sites.mx1:
            async with parted(sites, tmp_path, sites.mx1) as follows:
                assert follows.takes("main.example")
                assert follows.takes("dr.example")
                sites.mx1.write(MORE_HERE)
                await follows.until(lambda: follows.takes("more.main.example"))
                assert follows.takes("dr.example")
                assert follows.reloads.source_of(DR) == ""

    asyncio.run(scene())


def test_a_part_of_which_nothing_is_known_is_waited_for_by_name(tmp_path: Path) -> None:
    sites = Sites(tmp_path, begun=False)
    sites.mx1.begin("main", HERE)

    async def scene() -> None:
        with sites.mx1:
            follows = Following(tmp_path, sites.mx1, sites.mx3, masters={DR: sites.mx3, MAIN: sites.mx1})
            starting = asyncio.create_task(follows.reloads.compile_first())
            async with finally_cancelled(starting):
                await follows.until(lambda: follows.reloads.waits_for == (DR,))
                await follows.until(lambda: bool(re.search("no content yet|can't be|Can't", follows.reloads.awaited)))
                assert f"waiting for the directory {DR.base}" in follows.reloads.awaited
                assert "the site dr was never begun, `nightmail directory init` on its master" in follows.reloads.fault
                with pytest.raises(ConfigInvalid, match="nothing of it was ever seen here"):
                    await follows.reloads.reload()
                assert not starting.done()
                sites.mx3.begin("dr", THERE)
                with sites.mx3:
                    await asyncio.wait_for(starting, 10)
                    assert follows.takes("dr.example")
                    assert follows.takes("main.example")
                    assert follows.reloads.awaited == follows.reloads.fault == ""

    asyncio.run(scene())


def test_that_a_part_has_no_domain_any_more_is_believed_once_it_is_said_to_be_meant(
    sites: Sites, tmp_path: Path
) -> None:
    async def scene() -> None:
        async with parted(sites, tmp_path) as follows:
            sites.mx3.erase(THERE.dn)
            await follows.until(lambda: "no domain any more" in follows.reloads.fault)
            assert DR.base in follows.reloads.fault
            sites.mx1.write(MORE_HERE)
            await follows.until(lambda: follows.takes("more.main.example"))
            assert follows.takes("dr.example")
        async with parted(sites, tmp_path) as follows:  # nor is it by a restart
            assert follows.takes("dr.example")
            assert "no domain any more" in follows.reloads.fault
            await follows.reloads.reload()
            assert not follows.takes("dr.example")
            assert follows.takes("main.example")
            assert follows.reloads.fault == ""

    asyncio.run(scene())


@contextlib.asynccontextmanager
async def finally_cancelled(task: asyncio.Task[None]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_that_a_part_is_followed_no_more_by_an_error_is_raised_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(following: PartFollowing) -> None:
        raise ValueError(f"nobody foresaw this in {following.part.site}")

    sites = Sites(tmp_path, begun=False)
    monkeypatch.setattr(PartFollowing, "run", fail)

    async def scene() -> None:
        follows = Following(tmp_path, sites.mx1, masters={DR: sites.mx3, MAIN: sites.mx1})
        with pytest.raises(ValueError, match="nobody foresaw this"):
            await asyncio.wait_for(follows.reloads.compile_first(), 5)
        with pytest.raises(ValueError, match="nobody foresaw this"):
            await asyncio.wait_for(follows.reloads.watch(), 5)

    asyncio.run(scene())
