"""People sign in at real replicas: by a bind, and by what is stored of their passwords."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from tests.directory.slapd_server import SECRET, SUFFIX, Slapd
from tests.e2e.waiting import until

from nightmail.directory import sign_in
from nightmail.directory.certificates import write_authority, write_certificates
from nightmail.directory.passwords import DECOY, is_password
from nightmail.directory.sessions import Access
from nightmail.directory.sign_in import BindSignIn, StoredPasswordSignIn
from nightmail.directory.tree import Item
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.routing.submitters import Refused, SignedIn, SignIn

RIGHT = "correct horse"


def hashed(password: str, *options: str) -> str:
    path = {"PATH": "/usr/sbin:/usr/local/sbin:/usr/bin"}
    command = ["slappasswd", *options, "-n", "-s", password]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=path).stdout


def person(uid: str, *addresses: str, password: str = RIGHT) -> Item:
    stored = {"userPassword": (hashed(password),)} if password else {}
    names = {"uid": (uid,), "cn": (uid,), "sn": (uid,), "mailLocalAddress": addresses}
    classes = ("inetOrgPerson", "inetLocalMailRecipient")
    return Item(f"uid={uid},ou=people,{SUFFIX}", {"objectClass": classes, **names, **stored})


ALICE = person("alice", "alice@x.org", "Sales@X.org", "alice@xn--bcher-kva.example")
BOB = person("bob", "bob@x.org", password="another one")
NO_PASSWORD = person("carol", "carol@x.org", password="")
TWINS = [person("twin1", "twins@x.org"), person("twin2", "twins@x.org")]
PLAIN = person("dave", "dave@x.org", password="")
WITH_PLAIN = PLAIN._replace(attributes={**PLAIN.attributes, "userPassword": (RIGHT,)})


def begin(directory: Path, stack: ExitStack) -> tuple[Slapd, Slapd]:
    master = stack.enter_context(Slapd(directory / "master"))
    shadow = stack.enter_context(Slapd(directory / "shadow", 2, master.uri))
    with master.as_account("writer") as writer:
        writer.add([ALICE, BOB, NO_PASSWORD, *TWINS, WITH_PLAIN])
    with shadow.as_account("reader") as reader:
        until(lambda: reader.has_all(writer.written), "everybody is on the shadow")
    return master, shadow


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Slapd, Slapd]]:
    """Replicas that stay well."""
    with ExitStack() as stack:
        yield begin(tmp_path_factory.mktemp("pair"), stack)


@pytest.fixture
def doomed(tmp_path: Path) -> Iterator[tuple[Slapd, Slapd]]:
    """Replicas to be struck."""
    with ExitStack() as stack:
        yield begin(tmp_path, stack)


Ways = Callable[..., BindSignIn | StoredPasswordSignIn]


def by_bind(*servers: Slapd, **limits: float) -> BindSignIn:
    return BindSignIn(SUFFIX, [server.uri for server in servers], quick(servers[0], "reader"), **limits)


def by_what_is_stored(*servers: Slapd, **limits: float) -> StoredPasswordSignIn:
    return StoredPasswordSignIn(SUFFIX, [server.uri for server in servers], quick(servers[0], "replicator"), **limits)


def quick(server: Slapd, account: str) -> Access:
    access = server.access(account)
    return Access(name=access.name, password=access.password, authority=access.authority, timeout_s=0.5)


both_ways = pytest.mark.parametrize("way", [by_bind, by_what_is_stored])


@asynccontextmanager
async def signing_in(way: Ways, *servers: Slapd, **limits: float) -> AsyncIterator[SignIn]:
    made = way(*servers, **limits)
    try:
        yield made
    finally:
        made.close()


@both_ways
def test_who_has_the_right_password_is_signed_in_by_any_of_their_names(pair: tuple[Slapd, Slapd], way: Ways) -> None:
    async def scene() -> None:
        signed_in = SignedIn(ALICE.dn, ("alice@x.org", "sales@x.org", "alice@xn--bcher-kva.example"))
        async with signing_in(way, *pair) as source:
            for name in ("alice", "ALICE", "alice@x.org", "sales@x.org", "Sales@X.ORG", "alice@bücher.example"):
                assert await source.verify(name, RIGHT) == signed_in

    asyncio.run(scene())


@both_ways
@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "correct hors"),
        ("alice", "another one"),
        ("alice", ""),
        ("nobody", RIGHT),
        ("nobody", ""),
        ("", RIGHT),
        ("carol", RIGHT),
        ("carol", ""),
        ("twins@x.org", RIGHT),
        ("*", RIGHT),
        ("al*", RIGHT),
        ("alice)(uid=*", RIGHT),
        ("alice)(|(uid=*)", RIGHT),
        ("*)(objectClass=*", RIGHT),
        ("\\61lice", RIGHT),
        ("alice\0", RIGHT),
        ("alice", RIGHT + "\0"),
        ("al\udcffice", RIGHT),
        (ALICE.dn, RIGHT),
        ("reader", RIGHT),
        ("alice" * 100, RIGHT),
        ("alice", RIGHT * 1000),
    ],
)
def test_everybody_else_is_refused(pair: tuple[Slapd, Slapd], way: Ways, name: str, password: str) -> None:
    async def scene() -> None:
        async with signing_in(way, pair[0]) as source:
            answer = await source.verify(name, password)
            assert isinstance(answer, Refused)
            assert not password or password not in answer.reason

    asyncio.run(scene())


@pytest.mark.parametrize(
    "options",
    [
        ("-h", "{SSHA512}", "-o", "module-load=pw-sha2"),
        ("-h", "{ARGON2}", "-o", "module-load=argon2"),
        ("-h", "{CRYPT}", "-c", "$6$%.16s"),
    ],
    ids=lambda options: options[1],
)
def test_a_password_that_another_directory_had_stored_is_the_same_here_either_way(
    pair: tuple[Slapd, Slapd], options: tuple[str, ...]
) -> None:
    uid = f"moved-{options[1].strip('{}').lower()}"
    moved = person(uid, f"{uid}@x.org", password="")
    moved = moved._replace(attributes={**moved.attributes, "userPassword": (hashed(RIGHT, *options),)})

    async def scene() -> None:
        for way in (by_bind, by_what_is_stored):
            async with signing_in(way, *pair) as source:
                assert isinstance(await source.verify(uid, RIGHT), SignedIn)
                assert isinstance(await source.verify(uid, "wrong"), Refused)

    with pair[0].as_account("writer") as directory:
        directory.add([moved])
        until(lambda: pair[1].has(moved.dn), "both replicas have it")
        try:
            asyncio.run(scene())
        finally:
            directory.delete([moved.dn])


def test_many_who_sign_in_at_once_are_all_answered(pair: tuple[Slapd, Slapd]) -> None:
    async def scene() -> None:
        for way in (by_bind, by_what_is_stored):
            async with signing_in(way, *pair) as source:
                asked = [source.verify(*each) for each in [("alice", RIGHT), ("alice", "wrong"), ("nobody", "x")] * 20]
                kinds = [type(answer) for answer in await asyncio.gather(*asked)]
                assert kinds == [SignedIn, Refused, Refused] * 20

    asyncio.run(scene())


def test_the_accounts_of_the_servers_are_no_submitters(pair: tuple[Slapd, Slapd]) -> None:
    async def scene() -> None:
        for way, account in ((by_bind, "writer"), (by_what_is_stored, "reader")):
            async with signing_in(way, *pair) as source:
                answer = await source.verify(account, getattr(pair[0].replica.accounts, account))
                assert isinstance(answer, Refused)

    asyncio.run(scene())


def test_a_password_that_is_stored_as_it_is_is_not_compared_and_named(pair: tuple[Slapd, Slapd]) -> None:
    async def scene() -> None:
        async with signing_in(by_what_is_stored, *pair) as source:
            answer = await source.verify("dave", RIGHT)
        assert answer == Refused(f"{WITH_PLAIN.dn}: a password is stored as it is, which is not compared")

    asyncio.run(scene())


def test_an_unknown_name_takes_as_much_comparing_as_a_known_one(
    pair: tuple[Slapd, Slapd], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []

    def noting(password: str, stored: str) -> bool:
        compared.append(stored)
        return is_password(password, stored)

    async def scene() -> None:
        async with signing_in(by_what_is_stored, *pair) as source:
            for name in ("nobody", "alice", "nobody", "carol", "twins@x.org"):
                await source.verify(name, "wrong")

    monkeypatch.setattr(sign_in, "is_password", noting)
    asyncio.run(scene())
    [alices] = ALICE.attributes["userPassword"]
    assert compared == [DECOY, alices, alices, alices, alices]


@both_ways
@pytest.mark.parametrize("number", [0, 1])
def test_with_one_replica_dead_the_other_one_is_asked(doomed: tuple[Slapd, Slapd], way: Ways, number: int) -> None:
    async def scene() -> None:
        async with signing_in(way, *doomed) as source:
            doomed[number].kill()
            for _ in range(3):
                assert isinstance(await source.verify("alice", RIGHT), SignedIn)
                assert isinstance(await source.verify("alice", "wrong"), Refused)

    asyncio.run(scene())


@both_ways
def test_with_all_of_them_away_nobody_is_refused(doomed: tuple[Slapd, Slapd], way: Ways) -> None:
    async def scene() -> None:
        async with signing_in(way, *doomed) as source:
            doomed[0].kill()
            doomed[1].freeze()
            for password in (RIGHT, "wrong"):
                with pytest.raises(DirectoryUnavailable):
                    await source.verify("alice", password)
        async with signing_in(way, doomed[1], limit_s=0.2) as source:
            began = time.monotonic()
            with pytest.raises(DirectoryUnavailable, match=r"within 0\.2 s"):
                await source.verify("alice", RIGHT)
            assert time.monotonic() - began < 2.0

    asyncio.run(scene())


@both_ways
def test_a_replica_whose_certificate_does_not_hold_is_given_no_password(doomed: tuple[Slapd, Slapd], way: Ways) -> None:
    async def scene() -> None:
        master = doomed[0]
        master.kill()
        files = write_certificates(master.replica.directory, b"the secret of another cluster", "mx1", "127.0.0.1")
        write_authority(files.authority, SECRET)  # whom we trust is another
        master.spawn()
        async with signing_in(way, *doomed) as source:
            assert isinstance(await source.verify("alice", RIGHT), SignedIn)
        async with signing_in(way, master) as source:
            with pytest.raises(DirectoryUnavailable):
                await source.verify("alice", RIGHT)

    asyncio.run(scene())


@pytest.mark.parametrize("source", [BindSignIn, StoredPasswordSignIn])
def test_passwords_are_never_sent_unencrypted(source: type[BindSignIn | StoredPasswordSignIn]) -> None:
    with pytest.raises(ConfigInvalid, match="unencrypted"):
        source(SUFFIX, ["ldap://192.0.2.1"], Access(name="cn=reader", password="x"))
