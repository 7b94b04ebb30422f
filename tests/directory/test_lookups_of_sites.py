"""Addresses looked up where each site has its part: at home as long as that can be, and only where all parts are."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from tests.directory.sites import DR, MAIN, PARTS, Sites, SiteSlapd, person
from tests.directory.slapd_server import SUFFIX
from tests.directory.test_lookups import Asking, eventually, running
from tests.e2e.waiting import PATIENCE_S, until

from nightmail.directory.known import Known
from nightmail.directory.lookups import Lookups
from nightmail.directory.parts import Part
from nightmail.errors import DirectoryUnavailable
from nightmail.world import SystemClock

NOBODY = "ldap://127.0.0.1:1"
HERE, THERE = person("main"), person("dr")
ALICE, BOB = "user1@main.example.org", "user1@dr.example.org"


class AskingAtMain(Asking):
    """Lookups of a server at main."""

    def __init__(
        self,
        sites: Sites,
        *servers: SiteSlapd,
        lag_limit_s: float = 5.0,
        masters: Mapping[Part, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(*servers)
        self.lookups = Lookups(
            SUFFIX, [server.uri for server in servers], servers[0].access("reader"), SystemClock(),
            near=[sites.mx1.uri, sites.mx2.uri], parts=dict.fromkeys((part.base for part in PARTS), ""),
            masters=masters, base="/", timeout_s=0.25, lag_limit_s=lag_limit_s, changed=self._changed,
        )  # fmt: skip

    async def whom_it_asks(self) -> set[str]:
        """Where some new questions go."""
        before = dict(self.lookups.asked)
        for _ in range(4):
            with contextlib.suppress(DirectoryUnavailable):  # one that died is asked until that is known
                await self.ask(f"nobody{self.next_number()}@main.example.org")
        return {uri for uri, count in self.lookups.asked.items() if count > before[uri]}

    async def until_it_asks(self, *servers: SiteSlapd) -> None:
        """Wait until new questions go to these, and to no others."""
        wanted = {server.uri for server in servers}
        async with asyncio.timeout(PATIENCE_S):
            while await self.whom_it_asks() != wanted:  # noqa: ASYNC110 - what others do is no event of ours
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def asking_all(sites: Sites) -> AsyncIterator[AskingAtMain]:
    """Lookups of a server at main that can ask any of the replicas."""
    asks = AskingAtMain(sites, *sites.all)
    async with running(asks):
        for server in sites.all:
            await asks.until_asked(server)
        yield asks


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Sites]:
    with Sites(tmp_path).running() as running_sites:
        running_sites.mx1.write(HERE)
        running_sites.mx3.write(THERE)
        running_sites.until_everywhere(HERE.dn, THERE.dn)
        yield running_sites


def test_people_of_all_sites_are_found_at_home_and_in_equal_shares(sites: Sites) -> None:
    async def scene() -> None:
        async with asking_all(sites) as asks:
            assert all(known.is_mailbox for known in await asks.ask(ALICE, BOB))
            await asks.ask(*(f"nobody{asks.next_number()}@dr.example.org" for _ in range(2)))
            for _ in range(100):
                await asks.ask(f"nobody{asks.next_number()}@main.example.org")
            first, second, *others = asks.lookups.asked.values()
            assert others == [0, 0]
            assert first + second == 104
            assert abs(first - second) <= 2

    asyncio.run(scene())


def test_the_other_site_is_asked_while_nobody_at_home_can_be_and_no_longer(sites: Sites) -> None:
    async def scene() -> None:
        async with asking_all(sites) as asks:
            sites.mx1.kill()
            await asks.until_it_asks(sites.mx2)
            sites.mx2.kill()
            assert all(known.is_mailbox for known in await asks.ask(ALICE, BOB))
            await asks.until_it_asks(sites.mx3, sites.mx4)
            sites.mx2.start()
            await asks.until_it_asks(sites.mx2)

    asyncio.run(scene())


def test_while_the_other_site_can_not_be_reached_home_is_asked_and_what_it_said_is_remembered(sites: Sites) -> None:
    async def scene() -> None:
        async with asking_all(sites) as asks:
            assert all(known.is_mailbox for known in await asks.ask(ALICE, BOB))
            for server in (sites.mx3, sites.mx4):
                server.kill()
                await eventually(lambda: not asks.lookups.is_ready(server.uri))  # noqa: B023 - it ends at once
            assert not asks.is_missing(ALICE)
            assert not asks.is_missing(BOB)
            await asks.until_it_asks(sites.mx1, sites.mx2)
            sites.mx3.start()
            await asks.until_asked(sites.mx3)
            await asks.until_it_asks(sites.mx1, sites.mx2)  # once they have what it wrote as it started

    asyncio.run(scene())


def test_a_replica_without_a_part_is_not_asked_until_it_has_it(tmp_path: Path) -> None:
    sites = Sites(tmp_path)
    sites.mx1.begin("main", HERE)
    sites.mx3.begin("dr", THERE)

    async def scene() -> None:
        with sites.mx1 as mx1, sites.mx2 as mx2:
            mx2.kill()
            mx2.start(provider=NOBODY)  # of dr it is sent nothing
            with sites.mx3:
                until(lambda: len(mx1.names()) == 2, "both parts are at mx1")
                until(lambda: mx2.names() == {HERE.dn}, "one part is at mx2")
                asks = AskingAtMain(sites, mx1, mx2)
                async with running(asks):
                    await asks.until_asked(mx1)
                    assert all(known.is_mailbox for known in await asks.ask(ALICE, BOB))
                    await asks.until_it_asks(mx1)
                    assert asks.lookups.asked[mx2.uri] == 0
                    mx2.kill()
                    mx2.start()
                    await asks.until_it_asks(mx1, mx2)

    asyncio.run(scene())


def test_who_lacks_changes_of_one_part_at_home_is_left_for_one_elsewhere_as_long_as_that_can_be_asked(
    sites: Sites,
) -> None:
    async def scene() -> None:
        asks = AskingAtMain(sites, *sites.all, lag_limit_s=0.6)
        async with running(asks):
            for server in (sites.mx1, sites.mx2):
                server.kill()
                server.start(provider=NOBODY)  # of dr it takes nothing more
                await asks.until_asked(server)
            sites.mx4.kill()
            await asks.until_asked(sites.mx3)
            await asks.until_it_asks(sites.mx1, sites.mx2)
            sites.mx3.write(person("dr", 2))
            await asks.until_it_asks(sites.mx3)
            assert (await asks.ask("user2@dr.example.org"))[0].is_mailbox
            sites.mx3.kill()
            await asks.until_it_asks(sites.mx1, sites.mx2)

    asyncio.run(scene())


def test_while_each_lacks_what_another_has_all_are_asked_and_nobody_is_known_not_to_exist(sites: Sites) -> None:
    async def scene() -> None:
        asks = AskingAtMain(sites, sites.mx1, sites.mx3, lag_limit_s=60.0)
        for server, other in ((sites.mx1, "dr"), (sites.mx3, "main")):
            server.kill()
            server.deaf_to = other
        sites.mx1.start()
        sites.mx1.write(person("main", 2))
        async with running(asks):
            await asks.until_it_asks(sites.mx1)
            assert asks.lookups.is_certain
            sites.mx3.start()
            sites.mx3.write(person("dr", 2))
            await asks.until_asked(sites.mx3)
            await eventually(lambda: not asks.lookups.is_certain)
            assert (await asks.ask("user2@main.example.org"))[0].is_mailbox
            assert await asks.ask("user2@dr.example.org") == [Known()]  # which is taken for nothing meanwhile
            sites.mx1.kill()
            sites.mx1.deaf_to = ""
            sites.mx1.start()
            await eventually(lambda: asks.lookups.is_certain and asks.lookups.is_ready(sites.mx1.uri))
            assert (await asks.ask("user2@dr.example.org"))[0].is_mailbox
            assert "it lacks changes" in asks.lookups.standing()[sites.mx3.uri]

    asyncio.run(scene())


def test_while_a_replica_was_told_another_master_nobody_is_known_not_to_exist_also_once_it_is_away(
    sites: Sites,
) -> None:
    async def scene() -> None:
        asks = AskingAtMain(sites, *sites.all, masters={MAIN: "mx1", DR: "mx3"})
        async with running(asks):
            await asks.until_it_asks(sites.mx1, sites.mx2)
            assert asks.lookups.is_certain
            sites.mx2.kill()
            sites.obey(main="mx2", dr="mx3")
            sites.mx2.start()
            await eventually(lambda: not asks.lookups.is_certain)
            await asks.until_asked(sites.mx2)
            assert "mx2 as the master of the site main, ours names mx1" in asks.lookups.standing()[sites.mx2.uri]
            await asks.until_it_asks(sites.mx1)
            sites.mx2.kill()
            await eventually(lambda: not asks.lookups.is_ready(sites.mx2.uri))
            assert not asks.lookups.is_certain
            sites.obey(main="mx1", dr="mx3")
            sites.mx2.start()
            await eventually(lambda: asks.lookups.is_certain)
            await asks.until_it_asks(sites.mx1, sites.mx2)
            assert asks.lookups.standing()[sites.mx2.uri] == "ok"

    asyncio.run(scene())


def test_a_server_that_starts_looks_up_nobody_before_it_knows_what_each_replica_that_answers_was_told(
    sites: Sites,
) -> None:
    sites.mx4.kill()
    sites.mx3.kill()
    sites.obey(main="mx3", dr="mx3")
    sites.mx3.start()

    async def scene() -> None:
        asks = AskingAtMain(sites, *sites.all, masters={MAIN: "mx1", DR: "mx3"})
        async with running(asks):
            assert not asks.lookups.is_certain
            sites.mx3.freeze()
            assert sites.mx3.process is not None
            asyncio.get_running_loop().call_later(0.3, sites.mx3.process.send_signal, signal.SIGCONT)
            assert (await asks.ask(ALICE))[0].is_mailbox
            assert not asks.lookups.is_certain

    asyncio.run(scene())
