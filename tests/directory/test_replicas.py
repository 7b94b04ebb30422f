"""Real OpenLDAP: a master and its shadow as nightmail sets them up (R18, R19), and a feed of what is in them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import ldap
import pytest
from tests.directory.slapd_server import SECRET, SUFFIX, Slapd
from tests.e2e.waiting import PATIENCE_S, until

from nightmail.directory.certificates import write_certificates
from nightmail.directory.feed import Feed
from nightmail.directory.sessions import Access, open_session
from nightmail.directory.slapd import has_entries
from nightmail.directory.tree import Item, item_of
from nightmail.errors import ConfigInvalid, DirectoryUnavailable

ORG = item_of("domains", "example.org", "local", SUFFIX)
NET = item_of("domains", "example.net", "relay", SUFFIX)
PEOPLE = [item_of("mailboxes", f"user{number}@example.org", "", SUFFIX) for number in range(300)]


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Slapd]:
    with Slapd(tmp_path / "master") as running:
        yield running


@pytest.fixture
def shadow(master: Slapd, tmp_path: Path) -> Iterator[Slapd]:
    with Slapd(tmp_path / "shadow", 2, master.uri) as running:
        yield running


def names(server: Slapd, filter_text: str = "(nmDomain=*)") -> list[str]:
    with server.as_account("reader") as directory:
        return sorted(item.dn for item in directory.search(SUFFIX, filter_text))


def test_r18_r19_what_the_master_was_given_its_shadow_has(master: Slapd, shadow: Slapd) -> None:
    with master.as_account("writer") as directory:
        assert directory.add([ORG, *PEOPLE]) == 301
        until(lambda: len(names(shadow, "(uid=*)")) == 300, "everybody is on the shadow")
        assert directory.replace([ORG._replace(attributes={**ORG.attributes, "nmkind": ("relay",)})]) == 1
        until(lambda: names(shadow, "(nmKind=relay)") == [ORG.dn], "the change is on the shadow")
        assert directory.delete([ORG.dn]) == 1
        until(lambda: not names(shadow), "the entry is gone from the shadow")


def test_the_shadow_takes_no_writes(master: Slapd, shadow: Slapd) -> None:
    with shadow.as_account("writer") as directory, pytest.raises(DirectoryUnavailable):
        directory.add([ORG])
    assert not names(master)


def test_with_its_master_dead_the_shadow_is_read(master: Slapd, shadow: Slapd) -> None:
    with master.as_account("writer") as directory:
        directory.add([ORG])
    until(lambda: names(shadow) == [ORG.dn], "the entry is on the shadow")
    master.kill()
    assert names(shadow) == [ORG.dn]
    shadow.kill()
    shadow.start()
    assert names(shadow) == [ORG.dn]


def test_what_is_refused_is_named_with_the_reason(master: Slapd) -> None:
    with master.as_account("writer") as directory:
        directory.add([ORG])
        with pytest.raises(ConfigInvalid, match=r"nmDomain=example.org.*Already exists"):
            directory.add([NET, ORG])
        with pytest.raises(ConfigInvalid, match="Object class violation"):
            directory.add([Item(f"nmDomain=x.org,ou=domains,{SUFFIX}", {"objectclass": ("nmMailRoute",)})])


@pytest.mark.parametrize(
    "access",
    [
        Access(name=f"cn=reader,ou=system,{SUFFIX}", password="wrong"),
        Access(name=f"cn=nobody,ou=system,{SUFFIX}", password="wrong"),
        Access(name=f"cn=reader,ou=system,{SUFFIX}", password=""),
    ],
)
def test_who_is_not_known_does_not_get_in(master: Slapd, access: Access) -> None:
    authority = master.replica.tls.authority
    with pytest.raises(DirectoryUnavailable):
        open_session(master.uri, Access(name=access.name, password=access.password, authority=authority))


def test_a_password_is_not_taken_where_others_could_read_it(master: Slapd) -> None:
    access = Access(name=f"cn=reader,ou=system,{SUFFIX}", password=master.replica.accounts.reader)
    with pytest.raises(DirectoryUnavailable, match=r"[Cc]onfidentiality required"):
        open_session(master.uri, access)


def test_nobody_reads_without_a_name(master: Slapd) -> None:
    session = ldap.initialize(master.uri)
    session.set_option(ldap.OPT_X_TLS_CACERTFILE, master.replica.tls.authority)
    session.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
    session.start_tls_s()
    with pytest.raises(ldap.LDAPError):
        session.search_s(SUFFIX, ldap.SCOPE_SUBTREE)
    session.unbind_s()


def test_a_replica_of_another_authority_is_not_spoken_to(master: Slapd, tmp_path: Path) -> None:
    other = write_certificates(str(tmp_path), b"the secret of another cluster", "mx1", "127.0.0.1")
    access = master.access("reader")
    with pytest.raises(DirectoryUnavailable, match=r"certificate|TLS|Connect"):
        open_session(master.uri, Access(name=access.name, password=access.password, authority=other.authority))


def test_the_reader_sees_no_passwords_and_changes_nothing(master: Slapd) -> None:
    with master.as_account("reader") as directory:
        seen = [*directory.search(SUFFIX, "(objectClass=*)", ["*", "userPassword"])]
        assert seen
        assert not any("userpassword" in item.attributes or "ou=system" in item.dn for item in seen)
        with pytest.raises(ConfigInvalid, match="Insufficient access"):
            directory.add([ORG])


def test_the_writer_gives_people_passwords_and_leaves_those_of_the_servers_alone(master: Slapd) -> None:
    alice = PEOPLE[0]._replace(attributes={**PEOPLE[0].attributes, "userpassword": ("{SSHA}x",)})
    with master.as_account("writer") as directory:
        directory.add([alice])
        assert not any("userPassword" in item.attributes for item in directory.search(alice.dn))
        with pytest.raises(ConfigInvalid, match=r"Insufficient access|No such object"):
            directory.replace([Item(f"cn=reader,ou=system,{SUFFIX}", {"userpassword": ("known",)})])


def test_a_file_without_anything_in_it_is_no_directory(tmp_path: Path) -> None:
    """slapd would begin an empty one in it."""
    master = Slapd(tmp_path / "master")
    assert has_entries(master.database)
    Path(master.database.path, "data.mdb").write_bytes(b"")
    assert not has_entries(master.database)


def test_its_files_are_nobody_elses(master: Slapd) -> None:
    assert Path(master.replica.directory).stat().st_mode & 0o077 == 0
    key = Path(master.replica.tls.key)
    assert key.stat().st_mode & 0o077 == 0
    assert SECRET not in key.read_bytes()


class Follower:
    """A feed of a running replica, and what was heard of it."""

    def __init__(self, items: dict[str, Item] | None = None, cookie: str = "") -> None:
        self.changed = asyncio.Event()
        self.feed = Feed(SUFFIX, "(objectClass=nmMailDomain)", self.changed.set, items=items or {}, cookie=cookie)

    @contextlib.asynccontextmanager
    async def following(self, server: Slapd) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.feed.follow(server.uri, server.access("reader")))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, *wanted: Item) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while sorted(item.dn for item in self.feed.content.items.values()) != sorted(item.dn for item in wanted):
                self.changed.clear()
                await self.changed.wait()


def test_a_feed_brings_what_is_there_and_every_change(master: Slapd) -> None:
    async def scene() -> None:
        follower = Follower()
        with master.as_account("writer") as directory:
            directory.add([ORG])
            async with follower.following(master):
                await follower.until(ORG)
                assert follower.feed.source == master.uri
                directory.add([NET])
                await follower.until(ORG, NET)
                directory.delete([ORG.dn])
                await follower.until(NET)

    asyncio.run(scene())


def test_a_feed_goes_on_at_the_shadow_where_it_left_the_master(master: Slapd, shadow: Slapd) -> None:
    async def scene() -> None:
        follower = Follower()
        with master.as_account("writer") as directory:
            directory.add([ORG, NET])
            async with follower.following(master):
                await follower.until(ORG, NET)
            directory.delete([ORG.dn])
            until(lambda: names(shadow) == [NET.dn], "the shadow has it")
            async with follower.following(shadow):
                await follower.until(NET)

    asyncio.run(scene())


def test_the_end_of_a_replica_ends_its_feed_with_the_reason(master: Slapd) -> None:
    async def scene() -> None:
        follower = Follower()
        with master.as_account("writer") as directory:
            directory.add([ORG])
        async with follower.following(master) as task:
            await follower.until(ORG)
            master.kill()
            with pytest.raises(DirectoryUnavailable, match=master.uri):
                await asyncio.wait_for(task, 5)
        assert not follower.feed.source
        assert len(follower.feed.content.items) == 1

    asyncio.run(scene())


def test_a_replica_is_not_left_because_we_were_busy_ourselves(master: Slapd) -> None:
    async def scene() -> None:
        follower = Follower()
        with master.as_account("writer") as directory:
            directory.add([ORG])
            async with follower.following(master) as task:
                await follower.until(ORG)
                for _ in range(2):
                    await asyncio.sleep(0.1)  # a moment in which nothing that was asked is unanswered
                    time.sleep(2.5)  # noqa: ASYNC251 - this is being busy
                directory.add([NET])
                await follower.until(ORG, NET)
                assert not task.done()

    asyncio.run(scene())


def test_a_replica_that_hangs_is_left(master: Slapd) -> None:
    async def scene() -> None:
        follower = Follower()
        with master.as_account("writer") as directory:
            directory.add([ORG])
        async with follower.following(master) as task:
            await follower.until(ORG)
            assert master.process is not None
            master.process.send_signal(19)
            with pytest.raises(DirectoryUnavailable, match="nothing came"):
                await asyncio.wait_for(task, 8)

    asyncio.run(scene())
