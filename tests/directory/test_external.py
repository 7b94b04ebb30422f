"""A directory with the schema of Active Directory: looked up, and followed as far as it lets itself be followed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.directory.authority import Authority
from tests.directory.foreign_slapd import READER, SUFFIX, ForeignSlapd, group, user
from tests.directory.test_lookups import eventually

from nightmail.directory.external import ExternalChanges, ExternalFeed
from nightmail.directory.known import Known
from nightmail.directory.lookups import Lookups
from nightmail.directory.mapping import ForeignSchema
from nightmail.directory.mapping_settings import PRESETS
from nightmail.directory.sessions import Access
from nightmail.directory.tree import WHOLE_FILTER, Item, item_of
from nightmail.errors import DirectoryUnavailable, NotKnownYet
from nightmail.world import SystemClock

POLL_S = 0.3
NEVER_S = 3600.0
ALICE = user("alice", "SMTP:alice@corp.example", "smtp:a@corp.example", "X400:c=us;a=x")
MakeServer = Callable[..., ForeignSlapd]


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[MakeServer]:
    authority = Authority(tmp_path / "ca")
    with contextlib.ExitStack() as stack:

        def make(name: str = "slapd", *, most: int = 500, tells_changes: bool = False) -> ForeignSlapd:
            tls = authority.issue("server")
            return stack.enter_context(ForeignSlapd(tmp_path / name, tls, most=most, tells_changes=tells_changes))

        yield make


class Asking:
    """Lookups at servers with the schema of Active Directory."""

    def __init__(self, *servers: ForeignSlapd, poll_interval_s: float) -> None:
        self.forgotten = 0
        self.lookups = Lookups(
            SUFFIX, [server.uri for server in servers], servers[0].access(), SystemClock(), base="/", timeout_s=0.5,
            changed=self._forget, schema=ForeignSchema(PRESETS["active-directory"]),
            make_feed=partial(ExternalChanges, poll_interval_s=poll_interval_s),
        )  # fmt: skip

    def _forget(self) -> None:
        self.forgotten += 1

    async def ask(self, key: str) -> Known:
        """What is known of a key once it has been looked up. Raises: DirectoryUnavailable."""
        async with asyncio.timeout(5):
            while True:
                try:
                    return self.lookups.find(key)
                except NotKnownYet:
                    found = asyncio.Event()
                    self.lookups.look_up([key], found.set)
                    await found.wait()

    async def until(self, key: str, is_so: Callable[[Known], bool], timeout_s: float = 5.0) -> None:
        """Wait until something is so of a key, which nobody may be able to find out at first."""
        async with asyncio.timeout(timeout_s):
            while True:
                with contextlib.suppress(DirectoryUnavailable):
                    if is_so(await self.ask(key)):
                        return
                await asyncio.sleep(0.02)


def is_mailbox(known: Known) -> bool:
    return known.is_mailbox


def is_nobody(known: Known) -> bool:
    return known == Known()


@contextlib.asynccontextmanager
async def asking(*servers: ForeignSlapd, poll_interval_s: float = POLL_S) -> AsyncIterator[Asking]:
    asks = Asking(*servers, poll_interval_s=poll_interval_s)
    task = asyncio.create_task(asks.lookups.run())
    try:
        for server in servers:
            await eventually(partial(asks.lookups.is_ready, server.uri))
        yield asks
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_people_and_lists_are_found_by_any_of_their_addresses(make_server: MakeServer) -> None:
    server = make_server()
    left = user("left", "SMTP:left@corp.example", userAccountControl="514")
    cloud = user("cloud", "SMTP:cloud@corp.example", targetAddress="SMTP:x@cloud.example", userAccountControl="512")
    team = group("team", "team@corp.example", ALICE.dn, left.dn, cloud.dn, f"cn=gone,{SUFFIX}")
    server.add([ALICE, left, cloud, team, group("all", "all@corp.example", team.dn)])

    async def scene() -> None:
        async with asking(server) as asks:
            for address in ("alice@corp.example", "a@corp.example"):
                assert (await asks.ask(address)).is_mailbox
            for nobody in ("left@corp.example", "*@corp.example", "a*", "x)(mail=*", "c=us;a=x", "postmaster"):
                assert await asks.ask(nobody) == Known()
            assert (await asks.ask("cloud@corp.example")).targets == ("x@cloud.example",)
            assert (await asks.ask("team@corp.example")).targets == ("alice@corp.example", "cloud@corp.example")
            assert (await asks.ask("all@corp.example")).targets == ("team@corp.example",)

    asyncio.run(scene())


def test_where_changes_are_not_told_one_is_known_after_the_interval(make_server: MakeServer) -> None:
    server = make_server()
    server.add([ALICE, group("team", "team@corp.example", ALICE.dn)])

    async def scene() -> None:
        async with asking(server) as asks:
            assert (await asks.ask("alice@corp.example")).is_mailbox
            assert await asks.ask("bob@corp.example") == Known()
            assert len((await asks.ask("team@corp.example")).targets or ()) == 1
            server.add([user("bob", "smtp:bob@corp.example")])
            server.replace(f"cn=team,{SUFFIX}", member=(ALICE.dn, f"cn=bob,{SUFFIX}"))
            await asks.until("bob@corp.example", is_mailbox, POLL_S + 3)
            await asks.until("team@corp.example", lambda known: len(known.targets or ()) == 2, POLL_S + 3)
            server.delete(ALICE.dn)
            await asks.until("alice@corp.example", is_nobody, POLL_S + 3)
            assert asks.forgotten >= 2

    asyncio.run(scene())


def test_where_changes_are_told_one_is_known_at_once(make_server: MakeServer) -> None:
    server = make_server(tells_changes=True)
    server.add([ALICE, group("team", "team@corp.example", ALICE.dn)])

    async def scene() -> None:
        async with asking(server, poll_interval_s=NEVER_S) as asks:
            assert (await asks.ask("alice@corp.example")).is_mailbox
            assert await asks.ask("bob@corp.example") == Known()
            assert (await asks.ask("team@corp.example")).targets == ("alice@corp.example",)
            server.add([user("bob", "smtp:bob@corp.example")])
            await asks.until("bob@corp.example", is_mailbox)
            server.replace(ALICE.dn, userAccountControl=("514",))
            await asks.until("alice@corp.example", is_nobody)
            await asks.until("team@corp.example", lambda known: known.targets == ())

    asyncio.run(scene())


def test_one_server_that_tells_of_changes_and_one_that_does_not_are_both_asked(make_server: MakeServer) -> None:
    servers = make_server("first", tells_changes=True), make_server("second")
    for server in servers:
        server.add([ALICE])

    async def scene() -> None:
        async with asking(*servers) as asks:
            for number in range(40):
                await asks.ask(f"nobody{number}@corp.example")
            assert min(asks.lookups.asked.values()) >= 15

    asyncio.run(scene())


def test_what_was_known_stays_known_while_nobody_can_be_asked(make_server: MakeServer) -> None:
    server = make_server()
    server.add([ALICE])

    async def scene() -> None:
        async with asking(server, poll_interval_s=NEVER_S) as asks:
            assert (await asks.ask("alice@corp.example")).is_mailbox
            server.kill()
            with pytest.raises(DirectoryUnavailable):
                await asks.ask("bob@corp.example")
            assert (await asks.ask("alice@corp.example")).is_mailbox
            server.start()
            await eventually(lambda: asks.lookups.is_ready(server.uri))
            await asks.until("bob@corp.example", is_nobody)

    asyncio.run(scene())


@pytest.mark.parametrize("tells_changes", [False, True])
def test_a_directory_that_shows_nobody_any_more_is_believed_in_nothing(
    make_server: MakeServer, tells_changes: bool
) -> None:
    server = make_server(tells_changes=tells_changes)
    server.add([ALICE])

    async def scene() -> None:
        async with asking(server) as asks:
            server.delete(ALICE.dn)
            await eventually(lambda: not asks.lookups.is_ready(server.uri))
            with pytest.raises(DirectoryUnavailable):
                await asks.ask("alice@corp.example")
            server.add([ALICE])
            await eventually(lambda: asks.lookups.is_ready(server.uri))
            await asks.until("alice@corp.example", is_mailbox)

    asyncio.run(scene())


@pytest.mark.parametrize("tells_changes", [False, True])
def test_a_directory_that_shows_people_without_their_addresses_is_believed_in_nothing(
    make_server: MakeServer, tells_changes: bool
) -> None:
    server = make_server(tells_changes=tells_changes)
    server.add([ALICE, group("staff", "staff@corp.example", ALICE.dn)])

    async def scene() -> None:
        async with asking(server) as asks:
            await asks.until("alice@corp.example", is_mailbox)
            server.kill()
            server.hide("proxyAddresses")
            server.start()
            await eventually(lambda: "an address of none" in asks.lookups.standing()[server.uri])
            with pytest.raises(DirectoryUnavailable):
                await asks.ask("bob@corp.example")
            server.kill()
            server.hide()
            server.start()
            await eventually(lambda: asks.lookups.is_ready(server.uri))
            await asks.until("alice@corp.example", is_mailbox)

    asyncio.run(scene())


def test_groups_that_get_no_mail_hide_nobody(make_server: MakeServer) -> None:
    server = make_server()
    admins = Item(f"cn=Domain Admins,{SUFFIX}", {"objectClass": ("group",), "cn": ("Domain Admins",)})
    server.add([ALICE, admins])

    async def scene() -> None:
        async with asking(server) as asks:
            await asks.until("alice@corp.example", is_mailbox)
            await asks.until("bob@corp.example", is_nobody)

    asyncio.run(scene())


def test_where_there_are_lists_and_no_people_the_lists_are_asked_for(make_server: MakeServer) -> None:
    server = make_server()
    server.add([group("staff", "staff@corp.example", READER)])

    async def scene() -> None:
        async with asking(server) as asks:
            await asks.until("bob@corp.example", is_nobody)

    asyncio.run(scene())


def test_an_account_that_is_refused_is_not_tried_until_it_is_locked(make_server: MakeServer) -> None:
    server = make_server()
    server.add([ALICE])
    wrong = msgspec.structs.replace(server.access("wrong word"), refused_for_s=1.5)
    ask = Lookups(
        SUFFIX, [server.uri], wrong, SystemClock(), base="/", timeout_s=0.5, changed=lambda: None,
        schema=ForeignSchema(PRESETS["active-directory"]), make_feed=partial(ExternalChanges, poll_interval_s=POLL_S),
    )  # fmt: skip

    async def scene() -> None:
        with capture_logs() as logs:
            began = asyncio.get_running_loop().time()
            task = asyncio.create_task(ask.run())
            await eventually(lambda: any(line["event"] == "directory refuses us" for line in logs))
            assert "Invalid credentials" in logs[0]["reason"]
            server.replace(READER, userPassword=("wrong word",))  # from now on it would be let in
            await eventually(partial(ask.is_ready, server.uri))
            assert asyncio.get_running_loop().time() - began >= 1.5
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())


class Following:
    """A feed of domains, and how often it had something new."""

    def __init__(self, poll_interval_s: float) -> None:
        self.changes = 0
        self.feed = ExternalFeed(
            SUFFIX, WHOLE_FILTER, self._changed, items={}, cookie="", poll_interval_s=poll_interval_s
        )

    def _changed(self) -> None:
        self.changes += 1

    def names(self) -> set[str]:
        return {item.value("nmDomain") for item in self.feed.content.items.values()}

    @contextlib.asynccontextmanager
    async def at(self, uri: str, access: Access) -> AsyncIterator[asyncio.Task[None]]:
        """Follow at a server for a while."""
        task = asyncio.create_task(self.feed.follow(uri, access))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def domain(number: int) -> str:
    return f"domain{number}.example"


def add_domains(server: ForeignSlapd, count: int) -> None:
    domains = (item_of("domains", domain(number), "relay", SUFFIX) for number in range(count))
    server.add(item._replace(dn=item.dn.replace(",ou=domains", "")) for item in domains)


def test_what_is_held_whole_is_read_page_by_page_and_again_after_the_interval(make_server: MakeServer) -> None:
    server = make_server(most=20)
    add_domains(server, 70)

    async def scene() -> None:
        follows = Following(POLL_S)
        async with follows.at(server.tls_uri, server.access()) as task:
            await eventually(lambda: len(follows.names()) == 70)
            assert follows.feed.source == server.tls_uri
            server.delete(f"nmDomain={domain(3)},{SUFFIX}")
            server.replace(f"nmDomain={domain(4)},{SUFFIX}", nmKind=("local",))
            await eventually(lambda: domain(3) not in follows.names())
            assert len(follows.names()) == 69
            kinds = {item.value("nmDomain"): item.value("nmKind") for item in follows.feed.content.items.values()}
            assert kinds[domain(4)] == "local"
            changes = follows.changes
            server.kill()
            with pytest.raises(DirectoryUnavailable):
                await task
            assert (len(follows.names()), follows.changes, follows.feed.source) == (69, changes, "")

    asyncio.run(scene())


def test_going_over_to_a_server_that_tells_of_changes_loses_nothing(make_server: MakeServer) -> None:
    polled, told = make_server("polled"), make_server("told", tells_changes=True)
    add_domains(polled, 3)
    add_domains(told, 2)

    async def scene() -> None:
        follows = Following(NEVER_S)
        async with follows.at(polled.uri, polled.access()):
            await eventually(lambda: len(follows.names()) == 3)
        async with follows.at(told.uri, told.access()):
            await eventually(lambda: len(follows.names()) == 2)
            told.delete(f"nmDomain={domain(0)},{SUFFIX}")
            await eventually(lambda: follows.names() == {domain(1)})
        async with follows.at(polled.uri, polled.access()):
            await eventually(lambda: len(follows.names()) == 3)

    asyncio.run(scene())
