from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.routing.memory import MemoryMaps

from nightmail.routing.expansion import MAX_DEPTH, MAX_RECIPIENTS, ExpansionFailed, expand

LOCAL = {"example.org": "local", "old.example": "alias example.org"}


def expanded(aliases: dict[str, list[str]], address: str = "list@example.org", *mailboxes: str) -> tuple[str, ...]:
    maps = MemoryMaps(domains=LOCAL, aliases=aliases, mailboxes=mailboxes)
    return expand(maps, address, tuple(aliases[address]))


def test_a_list_stands_for_its_members_in_their_order() -> None:
    members = ["carol@example.net", "alice@example.org", "Bob@example.net"]
    assert expanded({"list@example.org": members}) == tuple(members)


def test_lists_of_lists_are_expanded_and_each_member_counts_once() -> None:
    aliases = {
        "list@example.org": ["a@example.org", "b@example.org", "z@example.net"],
        "a@example.org": ["x@example.net", "y@example.net"],
        "b@example.org": ["Y@Example.NET", "a@example.org"],
    }
    assert sorted(expanded(aliases)) == ["x@example.net", "y@example.net", "z@example.net"]


def test_an_alias_that_names_itself_keeps_its_own_mailbox() -> None:
    aliases = {"list@example.org": ["list@example.org", "copy@example.net"]}
    assert expanded(aliases) == ("list@example.org", "copy@example.net")


def test_a_circle_with_a_way_out_ends() -> None:
    aliases = {"list@example.org": ["b@example.org"], "b@example.org": ["list@example.org", "out@example.net"]}
    assert expanded(aliases) == ("out@example.net",)


def test_a_circle_without_a_way_out_fails() -> None:
    aliases = {"list@example.org": ["b@example.org"], "b@example.org": ["list@example.org"]}
    with pytest.raises(ExpansionFailed, match="leads in a circle"):
        expanded(aliases)


def test_a_member_in_an_alias_domain_is_the_one_in_the_real_domain() -> None:
    aliases = {"list@example.org": ["Alice@old.example", "b@old.example"], "b@example.org": ["c@example.net"]}
    assert expanded(aliases) == ("Alice@example.org", "c@example.net")


def test_a_mailbox_is_stronger_than_the_alias_of_its_whole_domain() -> None:
    aliases = {"list@example.org": ["alice@example.org", "bob@example.org"], "@example.org": ["all@example.net"]}
    assert expanded(aliases, "list@example.org", "alice@example.org") == ("alice@example.org", "all@example.net")


def test_depth_is_bounded() -> None:
    chain = {f"a{n}@example.org": [f"a{n + 1}@example.org"] for n in range(MAX_DEPTH + 1)}
    with pytest.raises(ExpansionFailed, match="through more than 20 aliases"):
        expanded(chain, "a0@example.org")
    assert expanded(chain, "a2@example.org") == (f"a{MAX_DEPTH + 1}@example.org",)


def test_size_is_bounded() -> None:
    members = [f"m{n}@example.net" for n in range(MAX_RECIPIENTS + 1)]
    assert len(expanded({"list@example.org": members[:-1]})) == MAX_RECIPIENTS
    with pytest.raises(ExpansionFailed, match="more than 10,000 recipients"):
        expanded({"list@example.org": members})


@given(st.dictionaries(st.integers(0, 9), st.lists(st.integers(0, 12), min_size=1, max_size=5), min_size=1))
def test_any_net_of_aliases_ends_in_recipients_or_fails(net: dict[int, list[int]]) -> None:
    aliases = {f"{n}@example.org": [f"{m}@example.org" for m in members] for n, members in net.items()}
    for address, targets in aliases.items():
        try:
            finals = expand(MemoryMaps(domains=LOCAL, aliases=aliases), address, tuple(targets))
        except ExpansionFailed:
            continue
        assert len(set(finals)) == len(finals)
        assert all(final not in aliases or final in aliases[final] for final in finals)
