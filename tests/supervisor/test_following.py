"""Routing from real replicas: in force as soon as it changes, kept while they are away, back only with the master."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.directory.slapd_server import SUFFIX, Slapd
from tests.e2e.waiting import PATIENCE_S, until

from nightmail.directory.copying import copy_of
from nightmail.directory.last_copy import PartCopy, read_copy, write_copy
from nightmail.directory.parts import Part
from nightmail.directory.tree import item_of
from nightmail.errors import ConfigInvalid
from nightmail.routing.generations import open_newest
from nightmail.supervisor.following import DirectoryReloads

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ORG = item_of("domains", "example.org", "relay", SUFFIX)
NET = item_of("domains", "example.net", "relay", SUFFIX)
BAD = item_of("domains", "example.com", "local", SUFFIX)  # without a route


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Slapd]:
    with Slapd(tmp_path / "master") as running:
        with running.as_account("writer") as directory:
            directory.add([ORG])
        yield running


class Following:
    """What a supervisor keeps, and how often it told its switches."""

    def __init__(
        self, directory: Path, *servers: Slapd, lag_limit_s: float = 5.0, masters: Mapping[Part, Slapd] | None = None
    ) -> None:
        """`masters` are those of the parts, by default the first server is that of the whole."""
        self.announced = 0
        masters = masters or {Part(SUFFIX): servers[0]}
        self._compiled = str(directory / "compiled")
        self.copy = str(directory / "directory.last")
        self.reloads = DirectoryReloads(
            SUFFIX, [server.uri for server in servers], lambda part: masters[part].uri, servers[0].access("reader"),
            self._announce, compiled=self._compiled, copy_path=self.copy, base="/", parts=[*masters],
            lag_limit_s=lag_limit_s,
        )  # fmt: skip

    async def _announce(self) -> None:
        self.announced += 1

    @property
    def source(self) -> str:
        """Where routing is followed."""
        return self.reloads.source_of(Part(SUFFIX))

    def takes(self, domain: str) -> bool:
        """Whether mail for a domain is taken, by what is in force."""
        with contextlib.closing(open_newest(self._compiled)) as snapshot:
            return not hasattr(snapshot.accept(f"a@{domain}", may_relay=False), "code")

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - what replicas do is no event of ours
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def following(
    directory: Path, *servers: Slapd, lag_limit_s: float = 5.0, masters: Mapping[Part, Slapd] | None = None
) -> AsyncIterator[Following]:
    """Follow for a while, once something is in force."""
    follows = Following(directory, *servers, lag_limit_s=lag_limit_s, masters=masters)
    async with asyncio.timeout(PATIENCE_S):
        await follows.reloads.compile_first()
    watching = asyncio.create_task(follows.reloads.watch())
    try:
        yield follows
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def test_a_change_is_in_force_and_announced(tmp_path: Path, master: Slapd) -> None:
    async def scene() -> None:
        async with following(tmp_path, master) as follows:
            assert follows.takes("example.org")
            assert not follows.takes("example.net")
            with master.as_account("writer") as directory:
                directory.add([NET])
            await follows.until(lambda: follows.announced > 0 and follows.takes("example.net"))
            assert follows.source == master.uri

    asyncio.run(scene())


def test_a_bad_entry_is_named_and_keeps_nobody_waiting(tmp_path: Path, master: Slapd) -> None:
    async def scene() -> None:
        async with following(tmp_path, master) as follows:
            with master.as_account("writer") as directory:
                directory.add([BAD, NET])
            await follows.until(lambda: follows.takes("example.net"))
            await follows.until(lambda: bool(follows.reloads.fault))
            assert follows.reloads.fault.startswith(f"{BAD.dn}: example.com is local and has no route")
            with pytest.raises(ConfigInvalid, match=r"example\.com is local"):
                await follows.reloads.reload()

    asyncio.run(scene())


def test_with_no_replica_a_server_starts_with_what_it_had(tmp_path: Path, master: Slapd) -> None:
    async def scene() -> None:
        async with following(tmp_path, master):
            pass
        master.kill()
        async with following(tmp_path, master) as follows:
            assert follows.takes("example.org")
            assert not follows.source
            master.start()
            await follows.until(lambda: follows.source == master.uri)

    asyncio.run(scene())


def test_a_server_that_went_over_to_the_shadow_hears_of_what_the_master_takes_later(
    tmp_path: Path, master: Slapd
) -> None:
    async def scene() -> None:
        with Slapd(tmp_path / "shadow", 2, master.uri) as shadow:
            until(lambda: shadow.has(ORG.dn), "the shadow has it")
            async with following(tmp_path, master, shadow) as follows:
                with master.as_account("writer") as directory:
                    directory.add([NET])
                await follows.until(lambda: follows.takes("example.net"))
                until(lambda: shadow.has(NET.dn), "the shadow has that, too")
                master.kill()
                await follows.until(lambda: follows.source == shadow.uri)
                announced = follows.announced
                master.start()
                with master.as_account("writer") as directory:
                    directory.add([item_of("domains", "later.example", "relay", SUFFIX)])
                await follows.until(lambda: follows.takes("later.example") and follows.announced > announced)
                assert follows.source == shadow.uri
                await follows.until(lambda: follows.announced > announced)
                assert follows.announced == announced + 1  # and not for what was there already

    asyncio.run(scene())


def ahead_of(copy_path: str) -> None:
    """Let what was last known be newer than anything that a replica has, and have a domain more."""
    copy = read_copy(copy_path, SUFFIX)
    assert copy is not None
    part = copy.parts[SUFFIX]
    part = PartCopy(re.sub(r"(?<=[=;])20\d\d", "2099", part.cookie), part.content | {"another": NET})
    write_copy(copy_path, msgspec.structs.replace(copy, parts={SUFFIX: part}))


def test_what_was_seen_of_a_master_is_given_up_once_it_was_restored(tmp_path: Path, master: Slapd) -> None:
    async def scene() -> None:
        async with following(tmp_path, master) as follows:
            ahead_of(follows.copy)
        with capture_logs() as logs:
            async with following(tmp_path, master) as follows:
                assert follows.takes("example.net")
                await follows.until(lambda: follows.source == master.uri)
                await follows.until(lambda: not follows.takes("example.net"))
                assert follows.takes("example.org")
        assert [line["event"] for line in logs if "went back" in line["event"]] == ["directory went back"]

    asyncio.run(scene())


def test_a_shadow_that_is_older_than_what_was_seen_is_waited_for(tmp_path: Path, master: Slapd) -> None:
    async def scene() -> None:
        with Slapd(tmp_path / "shadow", 2, master.uri) as shadow:
            until(lambda: shadow.state() == master.state(), "the shadow has it, and says so")
            shadow.stop_following()
            with master.as_account("writer") as directory:
                directory.add([NET])
            async with following(tmp_path, master, shadow) as follows:
                await follows.until(lambda: follows.takes("example.net"))
            master.kill()
            async with following(tmp_path, master, shadow) as follows:
                await follows.until(lambda: follows.source == shadow.uri)
                assert follows.takes("example.net")

    asyncio.run(scene())


def test_what_a_killed_replica_had_and_never_sent_is_taken_once_it_is_back(tmp_path: Path, master: Slapd) -> None:
    """It had no time to note how far it is, and says that it is where it was when it was lost."""

    async def scene() -> None:
        with Slapd(tmp_path / "shadow", 2, master.uri) as shadow:
            until(lambda: shadow.has(ORG.dn), "the shadow has it")
            async with following(tmp_path, shadow) as follows:
                pieces = [*copy_of(shadow.uri, SUFFIX, shadow.access("replicator"))]
                [like] = [piece for piece in pieces if ORG.dn in piece]
                unsent = UUID.sub("00000000-0000-4000-8000-000000000000", like.replace("example.org", "example.net"))
                master.kill()
                shadow.begin_anew([*pieces, unsent.replace("#000000#001#", "#ffffff#001#")])
                await follows.until(lambda: follows.takes("example.net"))

    asyncio.run(scene())


def test_a_shadow_that_takes_nothing_more_from_its_master_is_left_for_the_master(tmp_path: Path, master: Slapd) -> None:
    async def scene() -> None:
        with Slapd(tmp_path / "shadow", 2, master.uri) as shadow:
            until(lambda: shadow.has(ORG.dn), "the shadow has it")
            shadow.stop_following()
            master.kill()
            async with following(tmp_path, master, shadow, lag_limit_s=0.6) as follows:
                await follows.until(lambda: follows.source == shadow.uri)
                master.start()
                with master.as_account("writer") as directory, capture_logs() as logs:
                    directory.add([NET])
                    await follows.until(lambda: follows.takes("example.net"))
                assert follows.source == master.uri
                assert [line["replica"] for line in logs if line["event"] == "directory replica behind"] == [shadow.uri]
                master.kill()
                await follows.until(lambda: follows.source == shadow.uri)
                assert follows.takes("example.net")

    asyncio.run(scene())
