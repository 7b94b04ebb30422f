"""Two sites that write each its part of one directory, parted from one another and struck: no write is lost (R26)."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path

import pytest
from tests.conftest import Campaign
from tests.directory.acknowledged import Acknowledged
from tests.directory.sites import DR, MAIN, Sites, SiteSlapd
from tests.e2e.directories import send, until_answered
from tests.e2e.site_pairs import SitePairs
from tests.e2e.waiting import until
from tests.faults.network import Network
from tests.faults.writing import Writing

from nightmail.errors import ConfigInvalid, DirectoryUnavailable

SEED = 93


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(["main", "dr"]) as network:
        yield network


@pytest.fixture
def sites(network: Network, tmp_path: Path) -> Iterator[Sites]:
    with Sites(tmp_path, network=network).running() as running:
        yield running


class SiteWriter(Writing):
    """Adds, changes and deletes in a site's part at its master, for as long as it is let."""

    def __init__(self, master: SiteSlapd, base: str) -> None:
        super().__init__()
        self.ledger = Acknowledged(base)
        self._master = master

    @property
    def count(self) -> int:
        """How many were acknowledged."""
        return self.ledger.count

    def until_written(self, more: int) -> None:
        """Wait until so many more were acknowledged."""
        until(partial(self.has_written, self.count + more), "writes are acknowledged")

    def write(self) -> None:
        """See `Writing.write`."""
        while not self.is_over.is_set():
            try:
                with self._master.as_account("writer") as directory:
                    while not self.is_over.is_set():
                        self.ledger.add(directory, 3)
                        self.ledger.change(directory)
                        self.ledger.delete(directory)
            except (DirectoryUnavailable, ConfigInvalid):
                self.failed += 1
                self.is_over.wait(0.02)


def contents(replica: SiteSlapd) -> dict[str, tuple[str, ...]]:
    """All entries of all parts with the numbers of their changes."""
    with replica.as_account("reader") as directory:
        found = [item for part in (DR, MAIN) for item in directory.search(part.base, attributes=["entryCSN"])]
    return {item.dn: item.attributes["entryCSN"] for item in found}


def wrong_somewhere(sites: Sites, writers: list[SiteWriter]) -> list[str]:
    """What is not as it was acknowledged, at any replica."""
    return [wrong for replica in sites.all for writer in writers for wrong in writer.ledger.contradictions(replica)]


def until_all_are_alike(sites: Sites) -> None:
    first, *others = sites.all
    until(lambda: all(contents(each) == contents(first) for each in others), "all four have the same")


def test_sites_that_are_parted_write_on_and_have_everything_of_one_another_once_they_are_joined(
    sites: Sites, network: Network
) -> None:
    with ExitStack() as stack:
        writers = [SiteWriter(sites.mx1, MAIN.base), SiteWriter(sites.mx3, DR.base)]
        for writer in writers:
            stack.enter_context(writer)
        for writer in writers:
            writer.until_written(30)
        network.part()
        for writer in writers:
            writer.until_written(60)
    own, others = writers
    assert not own.failed
    assert not others.failed
    until(lambda: not own.ledger.contradictions(sites.mx2), "the shadow at the same site has everything")
    assert own.ledger.contradictions(sites.mx4), "the other site was parted from this one"
    assert others.ledger.contradictions(sites.mx2), "the other site was parted from this one"
    network.join()
    until_all_are_alike(sites)
    assert not wrong_somewhere(sites, writers)
    sys.stdout.write(f"writes acknowledged {own.count} and {others.count}, lost 0\n")


def test_masters_of_both_sites_that_are_killed_again_and_again_under_writes_lose_none(
    sites: Sites, campaign: Campaign
) -> None:
    kills = campaign(6, 100)
    chance = random.Random(SEED)
    masters = {"main": sites.mx1, "dr": sites.mx3}
    with SiteWriter(sites.mx1, MAIN.base) as main, SiteWriter(sites.mx3, DR.base) as dr:
        writers = {"main": main, "dr": dr}
        for _ in range(kills):
            site = chance.choice([*masters])
            writers[site].until_written(5)
            time.sleep(chance.random() / 5)  # not to wait for anything: whatever strikes next strikes at any instant
            masters[site].kill()
            masters[site].start()
        for writer in writers.values():
            writer.until_written(5)
    until_all_are_alike(sites)
    assert not wrong_somewhere(sites, [main, dr])
    sys.stdout.write(f"masters killed {kills}, writes acknowledged {main.count + dr.count}, lost 0\n")


def are_delivered(pairs: SitePairs, person: str, messages: int) -> bool:
    """Whether this person of each site has so many."""
    return all(len([*(pairs.mail_of(site) / person / "new").glob("*")]) == messages for site in ("main", "dr"))


def test_mail_for_people_of_both_parts_is_delivered_at_both_sites_also_while_these_are_parted(
    network: Network, tmp_path: Path
) -> None:
    pairs = SitePairs(tmp_path, network)
    for name, site in (("mx1", "main"), ("mx3", "dr")):
        tables = pairs.tables(site)
        with Path(tables, "mailboxes").open("a") as mailboxes:
            mailboxes.write(f"dora@{site}.example\n")
        pairs.run(name, "init", "--tables", tables)
    servers = (pairs.servers["mx1"], pairs.servers["mx3"])
    with pairs.running("mx1", "mx3"):
        for server, recipient in product(servers, ("alice@main.example", "alice@dr.example")):
            until_answered(server, recipient, 250)
            send(server, recipient)
        until(partial(are_delivered, pairs, "alice", 2), "everything is delivered")
        network.part()
        for server, recipient in product(servers, ("dora@main.example", "dora@dr.example")):  # not looked up before
            send(server, recipient)
        until(partial(are_delivered, pairs, "dora", 2), "everything is delivered at sites that are parted")
