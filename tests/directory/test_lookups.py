"""Addresses looked up at real replicas: over all of them, past one that fails, and never longer than they are true."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sim.life import Routes
from structlog.testing import capture_logs
from tests.directory.slapd_server import SUFFIX, Slapd
from tests.e2e.waiting import PATIENCE_S, until

from nightmail.directory import lookups as lookups_module
from nightmail.directory.content import Changed, Gone, Message
from nightmail.directory.known import Known
from nightmail.directory.lag import Lag
from nightmail.directory.lookups import Lookups
from nightmail.directory.sessions import Access
from nightmail.directory.tree import Item, item_of
from nightmail.errors import DirectoryUnavailable, NotKnownYet
from nightmail.mail.reply import Reply
from nightmail.routing.resolution import UNKNOWN_USER
from nightmail.routing.snapshot import Accepted
from nightmail.switch.parts import Routing
from nightmail.world import SystemClock

PEOPLE = [item_of("mailboxes", f"user{number}@x.org", "", SUFFIX) for number in range(200)]


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[tuple[Slapd, Slapd]]:
    with Slapd(tmp_path / "master") as master, Slapd(tmp_path / "shadow", 2, master.uri) as shadow:
        with master.as_account("writer") as directory:
            directory.add(PEOPLE)
        until(lambda: shadow.has(PEOPLE[-1].dn), "everybody is on the shadow")
        yield master, shadow


class Asking:
    """Lookups that run, and what they say."""

    def __init__(self, *servers: Slapd, lag_limit_s: float = 5.0) -> None:
        self.changes = 0
        self._number = 0
        self.lookups = Lookups(
            SUFFIX, [server.uri for server in servers], servers[0].access("reader"), SystemClock(),
            base="/", timeout_s=0.25, lag_limit_s=lag_limit_s, changed=self._changed,
        )  # fmt: skip

    def _changed(self) -> None:
        self.changes += 1

    def next_number(self) -> int:
        """A number that was not used yet."""
        self._number += 1
        return self._number

    async def ask(self, *keys: str) -> list[Known]:
        """What is known of the keys once they have been looked up. Raises: DirectoryUnavailable."""
        async with asyncio.timeout(5):
            while missing := [key for key in keys if self.is_missing(key)]:
                found = asyncio.Event()
                self.lookups.look_up(missing, found.set)
                await found.wait()
        return [self.lookups.find(key) for key in keys]

    def is_missing(self, key: str) -> bool:
        """Whether a key would have to be looked up."""
        try:
            self.lookups.find(key)
        except NotKnownYet:
            return True
        except DirectoryUnavailable:
            return False
        return False

    def is_nobody(self, key: str) -> bool:
        """Whether it is known that nobody has this address."""
        return not self.is_missing(key) and self.lookups.find(key) == Known()

    async def until_asked(self, server: Slapd) -> None:
        """Wait until a replica gets questions."""
        await eventually(lambda: self.lookups.is_ready(server.uri))


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something is so, of which no event tells."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what others do is no event of ours
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(asks: Asking) -> AsyncIterator[None]:
    """Have lookups keep their connections for a while."""
    task = asyncio.create_task(asks.lookups.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def asking(*servers: Slapd, lag_limit_s: float = 5.0) -> AsyncIterator[Asking]:
    asks = Asking(*servers, lag_limit_s=lag_limit_s)
    async with running(asks):
        yield asks


def test_r20_both_replicas_are_asked_and_equally_so(replicas: tuple[Slapd, Slapd]) -> None:
    async def scene() -> None:
        async with asking(*replicas) as asks:
            for server in replicas:
                await asks.until_asked(server)
            for start in range(0, 200, 4):
                keys = [f"user{number}@x.org" for number in range(start, start + 4)]
                assert all(known.is_mailbox for known in await asks.ask(*keys))
            assert await asks.ask("nobody@x.org") == [Known()]
            first, second = asks.lookups.asked.values()
            assert first + second == 201
            assert abs(first - second) <= 4

    asyncio.run(scene())


def test_what_changes_is_looked_up_anew(replicas: tuple[Slapd, Slapd]) -> None:
    async def scene() -> None:
        async with asking(*replicas) as asks:
            for server in replicas:
                await asks.until_asked(server)
            await asks.ask("user1@x.org", "new@x.org", "user2@x.org")
            before = asks.changes
            with replicas[0].as_account("writer") as directory:
                directory.delete([PEOPLE[1].dn])
                directory.add([item_of("mailboxes", "new@x.org", "", SUFFIX)])
            await eventually(lambda: asks.is_missing("user1@x.org"))
            await eventually(lambda: asks.is_missing("new@x.org"))
            assert asks.changes > before
            assert not asks.is_missing("user2@x.org")
            until(lambda: replicas[1].has("uid=new@x.org,ou=people," + SUFFIX), "the shadow has the new one")
            assert [known.is_mailbox for known in await asks.ask("user1@x.org", "new@x.org")] == [False, True]

    asyncio.run(scene())


def test_one_that_is_too_far_behind_is_not_asked(replicas: tuple[Slapd, Slapd]) -> None:
    master, shadow = replicas

    async def scene() -> None:
        async with asking(*replicas, lag_limit_s=0.6) as asks:
            for server in replicas:
                await asks.until_asked(server)
            shadow.stop_following()
            with master.as_account("writer") as directory:
                directory.delete([PEOPLE[1].dn])

            async def only_the_master_is_asked() -> bool:
                before = asks.lookups.asked[shadow.uri]
                await asks.ask(*(f"nobody{asks.next_number()}@x.org" for _ in range(4)))
                await asks.ask(f"nobody{asks.next_number()}@x.org")
                return asks.lookups.asked[shadow.uri] == before

            async with asyncio.timeout(PATIENCE_S):
                while not await only_the_master_is_asked():  # noqa: ASYNC110 - what others do is no event of ours
                    await asyncio.sleep(0.05)
            assert shadow.has(PEOPLE[1].dn)
            reason = f"{shadow.uri}: it lacks changes that another one has"
            await eventually(lambda: asks.lookups.standing() == {master.uri: "ok", shadow.uri: reason})

    asyncio.run(scene())


def test_what_one_said_that_is_too_far_behind_is_believed_no_longer_than_that(replicas: tuple[Slapd, Slapd]) -> None:
    master, shadow = replicas

    async def scene() -> None:
        async with asking(*replicas, lag_limit_s=10.0) as asks:
            for server in replicas:
                await asks.until_asked(server)
            shadow.kill()
            await eventually(lambda: not asks.lookups.is_ready(shadow.uri))
            shadow.start(provider="ldap://127.0.0.1:1")  # it takes nothing more
            await asks.until_asked(shadow)
            address, number = "new0@x.org", 0
            while asks.lookups.asked[shadow.uri] < 1 or not asks.is_nobody(address):
                number += 1
                address = f"new{number}@x.org"
                changes = asks.changes
                with master.as_account("writer") as directory:
                    directory.add([item_of("mailboxes", address, "", SUFFIX)])
                await eventually(lambda: asks.changes > changes)  # noqa: B023 - it is over before the next one begins
                assert asks.lookups.standing()[shadow.uri] == "ok"
                await asks.ask(address)  # until the shadow is the one that is asked, and knows nobody
            await eventually(lambda: asks.is_missing(address))
            assert (await asks.ask(address))[0].is_mailbox

    asyncio.run(scene())


def test_members_of_a_list_are_read_by_their_names_and_a_change_of_one_changes_the_list(
    replicas: tuple[Slapd, Slapd],
) -> None:
    names = tuple(item.dn for item in PEOPLE)
    staff = Item(f"cn=staff@x.org,{SUFFIX}", {"objectClass": ("nmMailList",), "cn": ("staff@x.org",), "member": names})

    async def scene() -> None:
        async with asking(*replicas) as asks:
            for server in replicas:
                await asks.until_asked(server)
            with replicas[0].as_account("writer") as directory:
                directory.add([staff])
                until(lambda: replicas[1].has(staff.dn), "the list is on the shadow")
                [known] = await asks.ask("staff@x.org")
                assert known.targets == tuple(sorted(f"user{number}@x.org" for number in range(200)))
                directory.delete([PEOPLE[7].dn])
            until(lambda: not replicas[1].has(PEOPLE[7].dn), "one is gone from the shadow")
            await eventually(lambda: asks.is_missing("staff@x.org"))
            [known] = await asks.ask("staff@x.org")
            assert known.targets is not None
            assert len(known.targets) == 199

    asyncio.run(scene())


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_replica_that_fails_costs_one_question_a_second_try(
    replicas: tuple[Slapd, Slapd], number: int, how: signal.Signals
) -> None:
    async def scene() -> None:
        async with asking(*replicas) as asks:
            for server in replicas:
                await asks.until_asked(server)
            process = replicas[number].process
            assert process is not None
            process.send_signal(how)
            loop = asyncio.get_running_loop()
            slowest = 0.0
            for start in range(60):
                began = loop.time()
                assert all(known.is_mailbox for known in await asks.ask(f"user{start}@x.org"))
                slowest = max(slowest, loop.time() - began)
            assert slowest < 1.0

    asyncio.run(scene())


def test_with_no_replica_nothing_can_be_known_and_nobody_is_unknown(replicas: tuple[Slapd, Slapd]) -> None:
    async def scene() -> None:
        async with asking(*replicas) as asks:
            await asks.until_asked(replicas[0])
            assert (await asks.ask("user1@x.org"))[0].is_mailbox
            for server in replicas:
                server.kill()
            with pytest.raises(DirectoryUnavailable):
                await asks.ask("user2@x.org")
            assert (await asks.ask("user1@x.org"))[0].is_mailbox
            replicas[1].start()
            await asks.until_asked(replicas[1])
            await eventually(lambda: asks.is_missing("user2@x.org"))
            assert (await asks.ask("user2@x.org"))[0].is_mailbox

    asyncio.run(scene())


def test_why_a_replica_is_not_asked_is_known_for_as_long_as_it_is_so(replicas: tuple[Slapd, Slapd]) -> None:
    first, second = replicas

    async def scene() -> None:
        async with asking(*replicas) as asks:
            assert all("not connected to yet" in reason for reason in asks.lookups.standing().values())
            for server in replicas:
                await asks.until_asked(server)
            assert asks.lookups.standing() == {first.uri: "ok", second.uri: "ok"}
            second.kill()
            await eventually(lambda: "Connection refused" in asks.lookups.standing()[second.uri])
            assert asks.lookups.standing()[first.uri] == "ok"
            second.start()
            await asks.until_asked(second)
            assert asks.lookups.standing()[second.uri] == "ok"

    asyncio.run(scene())


def test_the_log_says_what_the_loss_of_a_replica_means_and_says_again_that_none_is_left(
    replicas: tuple[Slapd, Slapd], monkeypatch: pytest.MonkeyPatch
) -> None:
    master, shadow = replicas
    monkeypatch.setattr(lookups_module, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(lookups_module, "_SAY_AGAIN_S", 0.0)

    def told(event: str) -> list[Mapping[str, Any]]:
        return [line for line in logs if line["event"] == event]

    async def scene() -> None:
        async with asking(*replicas) as asks:
            for server in replicas:
                await asks.until_asked(server)
            logs.clear()
            master.kill()
            await eventually(lambda: bool(told("directory replica not asked")))
            assert told("directory replica not asked")[0]["remedy"] == "none: another one is asked"
            assert not told("directory can't be asked")
            shadow.kill()
            await eventually(lambda: len(told("directory replica not asked")) == 2)
            assert "gets 451" in told("directory replica not asked")[1]["remedy"]
            await eventually(lambda: len(told("directory can't be asked")) == 2)
            assert master.uri in told("directory can't be asked")[1]["reason"]

    with capture_logs() as logs:
        asyncio.run(scene())


class StubPart(NamedTuple):
    """How far a replica is."""

    state: str
    lag: Lag


class Stub:
    """Stands for a replica whose answers come when a test says so."""

    is_ready = True

    def __init__(self, uri: str = "ldap://stub", state: str = "", lag_limit_s: float = 5.0) -> None:
        self.uri = uri
        self.parts = [StubPart(state, Lag(lag_limit_s))]
        self.answers: list[Callable[[list[Item]], None]] = []

    def is_behind(self, now: float) -> bool:
        """Whether it lacks something."""
        return self.parts[0].lag.is_over_limit(now)

    def search(self, base: str, filter_text: str, answered: Callable[[list[Item]], None], timeout_s: float) -> None:
        self.answers.append(answered)


def test_an_answer_that_was_under_way_when_its_address_changed_is_not_remembered_by_anybody() -> None:
    async def scene() -> None:
        told: list[str] = []
        lookups, stub = stubbed(told)
        lookups.look_up(["new@x.org"], lambda: told.append(f"found {lookups.find('new@x.org').is_mailbox}"))
        await asyncio.sleep(0)
        lookups._take(Changed("id", item_of("mailboxes", "new@x.org", "", SUFFIX)))
        stub.answers[0]([])
        await asyncio.sleep(0)
        # Whoever asked is told, and then that nothing of it is to be remembered.
        assert told == ["changed", "found False", "changed"]
        with pytest.raises(NotKnownYet):
            lookups.find("new@x.org")

    asyncio.run(scene())


def stubbed(told: list[str]) -> tuple[Lookups, Stub]:
    """Lookups at a replica that answers when it is told to."""
    lookups = Lookups(
        SUFFIX, [], Access(), SystemClock(), base="/", timeout_s=1.0, changed=lambda: told.append("changed")
    )  # fmt: skip
    stub = Stub()
    lookups.asked[stub.uri] = 0
    lookups._links.append(stub)  # type: ignore[arg-type]  # as far as it is asked here
    return lookups, stub


def person(address: str, uuid: str) -> Item:
    """An entry with its id, as it comes in an answer."""
    item = item_of("mailboxes", address, "", SUFFIX)
    return item._replace(attributes={**item.attributes, "entryuuid": (uuid,)})


@pytest.mark.parametrize("change", [Changed("id", person("b@x.org", "id")), Gone(frozenset(["id"]))])
def test_an_entry_that_lost_the_address_while_the_answer_was_under_way_is_not_remembered(change: Message) -> None:
    async def scene() -> None:
        lookups, stub = stubbed([])
        lookups.look_up(["a@x.org"], lambda: None)
        await asyncio.sleep(0)
        lookups._take(change)
        stub.answers[0]([person("a@x.org", "id")])
        await asyncio.sleep(0)
        with pytest.raises(NotKnownYet):
            lookups.find("a@x.org")

    asyncio.run(scene())


def test_who_waits_for_an_answer_gets_it_however_much_changes_meanwhile() -> None:
    async def scene() -> None:
        lookups, stub = stubbed([])
        routing = Routing(Asks(lookups), lookups)
        asking = asyncio.create_task(routing.ask(lambda snapshot: snapshot.accept("a@x.org", may_relay=True)))
        for number in range(20):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            lookups._take(Changed("id", person("a@x.org", "id")))
            lookups._take(Gone(frozenset([f"other{number}"])))
            for answered in stub.answers[number:]:
                answered([person("a@x.org", "id")])
        assert await asyncio.wait_for(asking, 1) == Accepted(("a@x.org",))
        assert len(stub.answers) == 1

    asyncio.run(scene())


def test_what_others_lose_meanwhile_does_not_undo_an_answer() -> None:
    async def scene() -> None:
        lookups, stub = stubbed([])
        lookups.look_up(["a@x.org"], lambda: None)
        await asyncio.sleep(0)
        lookups._take(Gone(frozenset(["another"])))
        stub.answers[0]([person("a@x.org", "id")])
        await asyncio.sleep(0)
        assert lookups.find("a@x.org").is_mailbox

    asyncio.run(scene())


class Asks(Routes):
    """A snapshot that takes whom the lookups know."""

    def __init__(self, lookups: Lookups) -> None:
        super().__init__()
        self._lookups = lookups

    def accept(self, address: str, *, may_relay: bool) -> Accepted | Reply:
        """The address, if it is a mailbox."""
        return Accepted((address,)) if self._lookups.find(address).is_mailbox else UNKNOWN_USER


def test_an_answer_that_is_outdated_when_it_comes_is_asked_for_at_another_replica() -> None:
    async def scene() -> None:
        lookups, behind = stubbed([])
        ahead = Stub("ldap://ahead")
        lookups.asked[ahead.uri] = 10
        lookups._links.append(ahead)  # type: ignore[arg-type]  # as far as it is asked here
        found: list[bool] = []
        lookups.look_up(["new@x.org"], lambda: found.append(lookups.find("new@x.org").is_mailbox))
        await asyncio.sleep(0)
        lookups._take(Changed("id", person("new@x.org", "id")))
        behind.answers[0]([])
        assert found == []
        ahead.answers[0]([person("new@x.org", "id")])
        assert found == [True]
        assert lookups.find("new@x.org").is_mailbox

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("master", "asked"), [("", ["ldap://shadow"]), ("ldap://master", ["ldap://master", "ldap://shadow"])]
)
def test_a_master_that_was_restored_is_not_behind(master: str, asked: list[str]) -> None:
    links = {"ldap://master": "20260101000000.000000Z#000000#000#000000", "ldap://shadow": "2026010200"}

    async def scene() -> None:
        lookups = Lookups(
            SUFFIX, [], Access(), SystemClock(), base="/", timeout_s=1.0, changed=lambda: None, lag_limit_s=-1.0,
            parts={SUFFIX: master},
        )  # fmt: skip
        for uri, state in links.items():
            lookups._links.append(Stub(uri, state, -1.0))  # type: ignore[arg-type]  # as far as it is asked here
        assert [link.uri for link in lookups._in_sync()] == asked

    asyncio.run(scene())
