"""What is known of addresses: each answer once, within a bound, and no longer than it is true."""

from __future__ import annotations

import pytest

from nightmail.directory.known import Cache, Known, answers_of, filter_of, keys_of, members_named
from nightmail.directory.tree import Item, item_of

SUFFIX = "o=x"


def person(uid: str, *addresses: str, **attributes: str) -> Item:
    values = {name.lower(): (value,) for name, value in attributes.items()}
    classes = ("inetOrgPerson", "inetLocalMailRecipient")
    return Item(
        f"uid={uid},{SUFFIX}",
        {"objectclass": classes, "maillocaladdress": addresses, "entryuuid": (f"id of {uid}",), **values},
    )


def test_one_search_answers_for_many_keys_and_for_those_that_nobody_has() -> None:
    found = [person("alice", "alice@x.org", "a@x.org"), item_of("aliases", "team@x.org", "b@x.org, a@x.org", SUFFIX)]
    answers = answers_of(["alice@x.org", "team@x.org", "nobody@x.org"], found, "/")
    assert answers == {
        "alice@x.org": Known(True, None, None, ("id of alice",)),
        "team@x.org": Known(False, ("a@x.org", "b@x.org"), None, ("",)),
        "nobody@x.org": Known(),
    }


def test_an_address_may_be_a_mailbox_and_a_list_with_a_route() -> None:
    found = [
        person("alice", "alice@x.org", mailHost="[mail.x.org]:25"),
        item_of("aliases", "alice@x.org", "alice@x.org, archive@x.org", SUFFIX),
    ]
    known = answers_of(["alice@x.org"], found, "/")["alice@x.org"]
    assert known.is_mailbox
    assert known.targets == ("alice@x.org", "archive@x.org")
    assert known.route is not None
    assert known.route.destination == "smtp:[mail.x.org]:25"


def test_an_entry_that_is_wrong_is_a_fault_and_never_nobody() -> None:
    known = answers_of(["alice@x.org"], [person("alice", "alice@x.org", mailHost="no host")], "/")["alice@x.org"]
    assert known.fault.startswith("uid=alice,o=x: ")
    assert known.ids == ("id of alice",)


def list_of(*members: str, **attributes: tuple[str, ...]) -> Item:
    values = {name.lower(): each for name, each in attributes.items()}
    return Item(
        f"cn=staff@x.org,{SUFFIX}",
        {
            "objectclass": ("nmMailList",),
            "cn": ("staff@x.org",),
            "member": members,
            "entryuuid": ("id of it",),
            **values,
        },
    )


def test_the_members_of_a_list_may_be_entries_which_undo_it_too() -> None:
    staff = list_of("uid=alice, O=X", "uid=bob,o=x", "uid=gone,o=x", rfc822MailMember=("c@y.org",))
    assert members_named([staff, person("alice", "a@x.org")]) == ["uid=alice, O=X", "uid=bob,o=x", "uid=gone,o=x"]
    members = [person("alice", "alice@x.org", "a@x.org"), person("bob", mail="bob@x.org")]
    known = answers_of(["staff@x.org"], [staff], "/", members)["staff@x.org"]
    assert known.targets == ("alice@x.org", "bob@x.org", "c@y.org")
    assert set(known.ids) == {"id of it", "id of alice", "id of bob", "uid=alice,o=x", "uid=bob,o=x", "uid=gone,o=x"}


def test_a_list_may_be_empty_and_is_known_all_the_same() -> None:
    assert answers_of(["staff@x.org"], [list_of()], "/")["staff@x.org"] == Known(targets=(), ids=("id of it",))


def test_what_is_asked_for_is_escaped() -> None:
    assert filter_of(["a*)(b@x.org"]) == (
        r"(|(mailLocalAddress=a\2a\29\28b@x.org)(mail=a\2a\29\28b@x.org)"
        r"(nmAddress=a\2a\29\28b@x.org)(cn=a\2a\29\28b@x.org))"
    )
    assert filter_of(["ü@x.org"]) == "(|(nmAddress=ü@x.org)(cn=ü@x.org))"


def test_the_keys_of_an_entry_are_all_of_its_addresses_that_are_any() -> None:
    assert keys_of(person("alice", "Alice@X.org", "no address")) == ["alice@x.org"]
    assert keys_of(item_of("aliases", "@x.org", "a@x.org", SUFFIX)) == ["@x.org"]
    assert keys_of(item_of("domains", "x.org", "local", SUFFIX)) == []


@pytest.fixture
def cache() -> Cache:
    cache = Cache(1 << 20)
    for number in range(3):
        cache.put(f"u{number}@x.org", Known(True, None, None, ("one",) if number < 2 else ("two",)))
    cache.put("nobody@x.org", Known())
    return cache


def test_a_change_of_an_entry_undoes_what_it_said(cache: Cache) -> None:
    cache.drop(["one"])
    assert cache.get("u0@x.org") is None
    assert cache.get("u1@x.org") is None
    assert cache.get("u2@x.org") is not None


def test_an_entry_that_comes_undoes_that_nobody_had_its_address(cache: Cache) -> None:
    cache.drop(["new"], ["nobody@x.org"])
    assert cache.get("nobody@x.org") is None
    assert cache.get("u0@x.org") is not None


def test_what_is_not_used_gives_way_and_what_is_used_stays() -> None:
    size = Known().size_bytes
    cache = Cache(100 * size)
    for number in range(1_000):
        cache.put(f"u{number}@x.org", Known(ids=("one",)))
        assert cache.get("u0@x.org") is not None
        assert len(cache) <= 102
    assert cache.get("u1@x.org") is None
    cache.drop(["one"])
    assert len(cache) == 0


def test_clearing_lets_go_of_everything(cache: Cache) -> None:
    cache.clear()
    assert len(cache) == 0
    cache.drop(["one"])
