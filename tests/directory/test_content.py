"""A replica's messages make the same entries that the replica has, and never half of them (RFC 4533)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nightmail.directory.content import Changed, Content, Gone, Presence, Present, Refreshed
from nightmail.directory.tree import Item


def item(name: str, version: int = 0) -> Item:
    return Item(f"cn={name}", {"cn": (name,), "description": (str(version),)})


def ids(*names: str) -> frozenset[str]:
    return frozenset(names)


def test_nothing_is_there_before_a_refresh_has_ended() -> None:
    content = Content({})
    assert not content.take(Changed("a", item("a")))
    assert not content.items
    assert content.take(Refreshed())
    assert dict(content.items) == {"a": item("a")}
    assert content.is_current


def test_changes_count_as_they_come_once_it_has() -> None:
    content = Content({})
    content.take(Refreshed())
    assert content.take(Changed("a", item("a")))
    assert not content.take(Changed("a", item("a")))
    assert content.take(Changed("a", item("a", 1)))
    assert content.take(Gone(ids("a")))
    assert not content.take(Gone(ids("a")))
    assert not content.items


def test_what_presence_does_not_name_is_gone() -> None:
    content = Content({"a": item("a"), "b": item("b"), "c": item("c")})
    for message in (Present(ids("a")), Changed("b", item("b", 1)), Presence()):
        assert not content.take(message)
        assert len(content.items) == 3
    assert content.take(Refreshed())
    assert dict(content.items) == {"a": item("a"), "b": item("b", 1)}


def test_without_presence_only_what_is_named_as_gone_is() -> None:
    content = Content({"a": item("a"), "b": item("b")})
    content.take(Gone(ids("a")))
    content.take(Changed("c", item("c")))
    assert content.take(Refreshed())
    assert dict(content.items) == {"b": item("b"), "c": item("c")}


def test_a_refresh_that_changes_nothing_is_no_change() -> None:
    content = Content({"a": item("a")})
    content.take(Present(ids("a")))
    content.take(Presence())
    assert not content.take(Refreshed())
    assert content.is_current


def test_a_refresh_that_is_broken_off_leaves_everything_as_it_was() -> None:
    content = Content({"a": item("a")})
    content.take(Changed("b", item("b")))
    content.take(Presence())
    content.begin()
    assert dict(content.items) == {"a": item("a")}
    content.take(Present(ids("a")))
    content.take(Presence())
    assert not content.take(Refreshed())


_NAMES = st.sampled_from("abcdef")
_STATES = st.dictionaries(_NAMES, st.integers(0, 3))


@given(_STATES, st.lists(st.tuples(_STATES, st.booleans(), st.booleans()), min_size=1, max_size=6))
def test_after_every_refresh_the_content_is_the_replicas(
    first: dict[str, int], later: list[tuple[dict[str, int], bool, bool]]
) -> None:
    known = {name: item(name, version) for name, version in first.items()}
    content = Content(known)
    for state, by_presence, is_broken_off in later:
        there = {name: item(name, version) for name, version in state.items()}
        before = dict(content.items)
        content.begin()
        for uuid, each in there.items():
            if before.get(uuid) != each:
                content.take(Changed(uuid, each))
            elif by_presence:
                content.take(Present(ids(uuid)))
        content.take(Presence() if by_presence else Gone(frozenset(before.keys() - there.keys())))
        if is_broken_off:
            assert dict(content.items) == before
            continue
        assert content.take(Refreshed()) == (before != there)
        assert dict(content.items) == there
