"""Lists of Active Directory with more members than it tells at once: all of them get the mail, or nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace

from tests.directory.foreign_slapd import SUFFIX
from tests.e2e.waiting import PATIENCE_S

from nightmail.directory.known import answers_of, members_named
from nightmail.directory.lag import Lag
from nightmail.directory.lookups import Lookups
from nightmail.directory.mapping import ForeignSchema
from nightmail.directory.mapping_settings import PRESETS
from nightmail.directory.ranges import Answered, Ranges, is_partial
from nightmail.directory.sessions import Access
from nightmail.directory.tree import Item
from nightmail.errors import DirectoryUnavailable
from nightmail.routing.expansion import MAX_RECIPIENTS
from nightmail.world import SystemClock

STAFF = "CN=staff,DC=example,DC=com"
AT_ONCE = 1500


def members(count: int) -> list[str]:
    return [f"CN=user{number},DC=example,DC=com" for number in range(count)]


class ActiveDirectory:
    """Tells of a list with so many members as Active Directory does."""

    def __init__(self, count: int) -> None:
        self.members = members(count)
        self.asked: list[str] = []
        self.fails = False

    def tell(self, start: int = 0) -> Item:
        end = start + AT_ONCE
        last = "*" if end >= len(self.members) else str(end - 1)
        told = {"member": (), f"member;range={start}-{last}": tuple(self.members[start:end])}
        return Item(STAFF, {"objectclass": ("top", "group"), "mail": ("staff@example.com",)} | told)

    def search(
        self, base: str, filter_text: str, answered: Answered, timeout_s: float, *, is_base: bool = False,
        attributes: Iterable[str] = (),
    ) -> None:  # fmt: skip
        assert (base, is_base) == (STAFF, True)
        [name] = attributes
        self.asked.append(name)
        start = int(name.removeprefix("member;range=").removesuffix("-*"))
        there = [self.tell(start)] if start < len(self.members) else [Item(STAFF, {})]
        answered(DirectoryUnavailable("away") if self.fails else there)


def completed(directory: ActiveDirectory) -> list[Item] | DirectoryUnavailable:
    answers: list[list[Item] | DirectoryUnavailable] = []
    Ranges(directory.search, [directory.tell()], 1.0, answers.append).ask()
    [answer] = answers
    return answer


def test_all_members_are_asked_for_range_by_range() -> None:
    directory = ActiveDirectory(4000)
    answer = completed(directory)
    assert isinstance(answer, list)
    assert directory.asked == ["member;range=1500-*", "member;range=3000-*"]
    assert not is_partial(answer[0])
    assert answer[0].values("member") == tuple(members(4000))
    assert answer[0].value("mail") == "staff@example.com"


def test_members_that_were_taken_away_meanwhile_end_it() -> None:
    directory = ActiveDirectory(4000)
    first = directory.tell()
    directory.members = directory.members[:1500]
    answers: list[list[Item] | DirectoryUnavailable] = []
    Ranges(directory.search, [first], 1.0, answers.append).ask()
    [[item]] = answers  # type: ignore[misc]  # it is a list
    assert item.values("member") == tuple(members(1500))
    assert not is_partial(item)


def test_a_range_that_can_not_be_had_is_no_end_of_the_list() -> None:
    directory = ActiveDirectory(4000)
    directory.fails = True
    assert isinstance(completed(directory), DirectoryUnavailable)


def test_a_list_with_more_members_than_a_message_may_have_takes_no_mail_and_says_so() -> None:
    directory = ActiveDirectory(MAX_RECIPIENTS + 5000)
    answer = completed(directory)
    assert isinstance(answer, list)
    assert len(directory.asked) <= MAX_RECIPIENTS // AT_ONCE + 1
    item = ForeignSchema(PRESETS["active-directory"]).read(answer[0])
    assert members_named([item]) == []
    known = answers_of(["staff@example.com"], [item], "/")["staff@example.com"]
    assert "more than 10,000 members" in known.fault


class Server(ActiveDirectory):
    """The same, as one of those that lookups ask: it knows of a list, and of everybody that the list names."""

    uri = "ldap://stub"
    is_ready = True

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.parts = [SimpleNamespace(state="", lag=Lag(5.0))]

    def is_behind(self, now: float) -> bool:
        """Never."""
        return False

    def search(
        self, base: str, filter_text: str, answered: Answered, timeout_s: float, *, is_base: bool = False,
        attributes: Iterable[str] = (),
    ) -> None:  # fmt: skip
        if base == SUFFIX:
            answered([self.tell()])
        elif base == STAFF:
            super().search(base, filter_text, answered, timeout_s, is_base=is_base, attributes=attributes)
        else:
            name = base.partition(",")[0].removeprefix("CN=")
            spelled_otherwise = f"commonName={name},DC=example,DC=com"
            answered([Item(spelled_otherwise, {"objectclass": ("user",), "mail": (f"{name}@example.com",)})])


def test_a_lookup_finds_all_members_of_a_list_that_is_told_in_ranges_however_their_names_are_spelled() -> None:
    async def scene() -> None:
        schema = ForeignSchema(PRESETS["active-directory"])
        lookups = Lookups(
            SUFFIX, [], Access(), SystemClock(), base="/", timeout_s=1.0, changed=lambda: None, schema=schema
        )
        server = Server(4000)
        lookups.asked[server.uri] = 0
        lookups._links.append(server)  # type: ignore[arg-type]  # as far as it is asked here
        found = asyncio.Event()
        lookups.look_up(["staff@example.com"], found.set)
        async with asyncio.timeout(PATIENCE_S):
            await found.wait()
        assert len(lookups.find("staff@example.com").targets or ()) == 4000

    asyncio.run(scene())
