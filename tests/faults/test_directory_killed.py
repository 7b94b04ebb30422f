"""A pair in directory mode, the master's server killed under load: no mail is lost, and no write (R6, R21, R22)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.conftest import Campaign
from tests.e2e.directories import directory
from tests.e2e.switch import Switch, free_port
from tests.e2e.waiting import until
from tests.faults.cluster import Cluster
from tests.faults.confirmed_writing import ConfirmedWriter
from tests.faults.ledger import Ledger
from tests.faults.writing import Writing

from nightmail.admin.replicas import access_of, directory_of, uri_of
from nightmail.config.loading import load
from nightmail.directory.certificates import write_authority
from nightmail.directory.tree import item_of
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable

SUFFIX = "dc=example,dc=org"


class DirectoryCluster(Cluster):
    """The cluster of any other test, configured by a directory: its master on mx1, its shadow on mx2."""

    topology = "single-master"

    def settings(self, settings: dict[str, Any]) -> None:
        settings["directory"] = {
            "suffix": SUFFIX,
            "topology": self.topology,
            "first_master": "mx1",
            "secret_file": settings["heartbeat"]["secret_file"],
            "data_directory": "data",
        }
        for name in self.names:
            settings[f"servers.{name}"]["directory"] = f"127.0.0.1:{free_port()}"

    def before_start(self) -> None:
        self.run("init")

    def before_load(self) -> None:
        self.run("import", str(self.servers["mx1"].directory / "tables"))
        for server in self.servers.values():
            until(partial(knows_its_domains, server), "it is in force")

    def run(self, *words: str) -> None:
        done = self.servers["mx1"].nightmail("directory", *words)
        assert done.returncode == 0, done.stderr

    def directory(self, server: str, name: str) -> Directory:
        """A server's replica, as one of the accounts."""
        config = load(str(self.servers["mx1"].config_file))
        settings = directory_of(config)
        authority = self.servers["mx1"].directory / "authority.pem"
        write_authority(str(authority), Path(settings.secret_file).read_bytes().strip())
        return Directory(uri_of(config, server), access_of(settings, name, str(authority)))


class FailoverCluster(DirectoryCluster):
    """The same, where the shadow takes over for its master."""

    topology = "failover"

    @property
    def master(self) -> str:
        """Whose replica takes writes, as a server that is ready has it; empty while nobody is known to."""
        running = [server for server in self.servers.values() if server.is_ready()]
        return directory(running[0]).master if running else ""

    def are_both_in_sync(self) -> bool:
        """Whether each may take over for the other."""
        return all(len(directory(server).in_sync) == 2 for server in self.servers.values())


def knows_its_domains(server: Switch) -> bool:
    """Whether what was imported is in force."""
    return bool(server.facts("status")["directory"]["entries"] >= 4)


class Writer(Writing):
    """Adds one entry after the other for as long as it is let, and keeps those that were acknowledged."""

    def __init__(self, cluster: DirectoryCluster) -> None:
        super().__init__()
        self.acknowledged: list[str] = []
        self.slowest_failure_s = 0.0
        self._cluster = cluster

    @property
    def count(self) -> int:
        """How many the master acknowledged."""
        return len(self.acknowledged)

    def has_failed(self, count: int) -> bool:
        """Whether so many failed."""
        return self.failed >= count

    def write(self) -> None:
        """See `Writing.write`."""
        number = 0
        while not self.is_over.is_set():
            began = time.monotonic()
            try:
                with self._cluster.directory("mx1", "writer") as master:
                    while not self.is_over.is_set():
                        number += 1
                        began = time.monotonic()
                        item = item_of("mailboxes", f"box{number}@local.test", "", SUFFIX)
                        master.add([item])
                        self.acknowledged.append(item.dn)
            except (DirectoryUnavailable, ConfigInvalid):
                self.failed += 1
                self.slowest_failure_s = max(self.slowest_failure_s, time.monotonic() - began)
                self.is_over.wait(0.05)  # whoever writes tries again, though not all the time


def test_with_the_masters_server_killed_under_load_no_mail_is_lost_and_no_write(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    kills = campaign(2, 20)
    with DirectoryCluster(tmp_path, seed=90) as cluster, Writer(cluster) as writer:
        for _ in range(kills):
            written = len(writer.acknowledged)
            until(partial(writer.has_written, written + 20), "writes are acknowledged")
            cluster.under_way("mx1")
            failed = writer.failed
            cluster.kill("mx1")
            cluster.under_way("mx2")  # with the shadow
            until(partial(writer.has_failed, failed + 1), "a write fails", 10)
            cluster.wait_for_adoption("mx2", "mx1")
            cluster.servers["mx1"].start()
        writer.__exit__()
        publish(cluster.settle(f"{kills} servers killed with the directory's master")).assert_sound()
        until(lambda: cluster.servers["mx1"].facts("directory", "status")[1]["behind"] == 0, "both have the same")
        for server in cluster.names:
            with cluster.directory(server, "reader") as replica:
                there = {item.dn for item in replica.search(SUFFIX, attributes=["1.1"])}
            lost = set(writer.acknowledged) - there
            sys.stdout.write(f"writes acknowledged {len(writer.acknowledged)}, lost on {server} {len(lost)}\n")
            assert not lost


def test_with_each_masters_server_killed_under_load_writes_go_on_and_nothing_is_lost(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    kills = campaign(2, 20)
    masters = []
    with FailoverCluster(tmp_path, seed=91) as cluster:
        until(cluster.are_both_in_sync, "both replicas in sync")
        with ConfirmedWriter(cluster.servers["mx1"], cluster.seed, tmp_path) as writer:
            for _ in range(kills):
                until(partial(writer.has_written, writer.count + 10), "writes are acknowledged")
                until(cluster.are_both_in_sync, "both replicas in sync")
                masters.append(master := cluster.master)
                survivor = next(name for name in cluster.names if name != master)
                cluster.under_way(master)
                written = writer.count
                cluster.kill(master)
                cluster.under_way(survivor)
                until(partial(writer.has_written, written + 5), "writes go on", 30)
                cluster.wait_for_adoption(survivor, master)
                cluster.servers[master].start()
        until(cluster.are_both_in_sync, "both replicas in sync")
        publish(cluster.settle(f"{kills} servers killed with the directory's master, which fails over")).assert_sound()
        until(lambda: not any(map(writer.contradictions, cluster.names)), "both have what counts")
        sys.stdout.write(f"writes acknowledged {writer.count}, lost 0; masters killed {' '.join(masters)}\n")
        assert set(masters) == set(cluster.names)
