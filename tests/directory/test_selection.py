"""What comes into force of a directory: all that is good, and for what is bad the last that was (R17)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nightmail.directory.selection import FAULTS_LIMIT, Items, Selected, select
from nightmail.directory.tree import Item, item_of
from nightmail.errors import ConfigInvalid
from nightmail.routing.compiled import open_snapshot
from nightmail.routing.generations import compile_source
from nightmail.routing.source import Source

SUFFIX = "o=x"
ORG = item_of("domains", "example.org", "local", SUFFIX)
ORG_ROUTE = item_of("routes", "example.org", "maildir:/srv/{local_part}", SUFFIX)
NET = item_of("domains", "example.net", "relay", SUFFIX)
NET_ROUTE = item_of("routes", "example.net", "smtp:[127.0.0.1]:2526", SUFFIX)
ALL = (ORG, ORG_ROUTE, NET, NET_ROUTE)

Choose = Callable[..., Selected[str]]


def named(*items: Item) -> Items:
    return {item.dn: item for item in items}


def changed(item: Item, **attributes: str) -> Item:
    return Item(item.dn, {**item.attributes, **{name.lower(): (value,) for name, value in attributes.items()}})


@pytest.fixture
def choose(tmp_path: Path) -> Choose:
    def choose_of(offered: Items, in_force: Items | None = None) -> Selected[str]:
        def compile_all(source: Source) -> str:
            return compile_source(source, str(tmp_path / "compiled"), "/")

        return select(offered, in_force or {}, SUFFIX, compile_all)

    return choose_of


def test_entries_that_are_all_good_come_into_force(choose: Choose) -> None:
    selected = choose(named(*ALL))
    assert selected.items == named(*ALL)
    assert not selected.faults
    snapshot = open_snapshot(selected.result)
    assert snapshot.route("a@example.net").host == "127.0.0.1"
    assert snapshot.summary.counts["domains"] == 2
    snapshot.close()


def test_a_bad_entry_is_left_out_with_its_name_and_the_reason(choose: Choose) -> None:
    bad = item_of("clients", "10.0.0.1/8", "relay", SUFFIX)
    selected = choose(named(*ALL, bad))
    assert selected.items == named(*ALL)
    (fault,) = selected.faults.values()
    assert (
        str(fault)
        == f"nmNetwork=10.0.0.1/8,ou=clients,{SUFFIX}: '10.0.0.1/8' is not a network; did you mean 10.0.0.0/8?"
    )


def test_an_entry_that_was_made_bad_stays_as_it_was_and_the_others_change(choose: Choose) -> None:
    moved = changed(ORG_ROUTE, nmNextHop="maildir:/home/{local_part}")
    selected = choose(named(ORG, moved, NET, changed(NET_ROUTE, nmNextHop="nonsense")), named(*ALL))
    assert selected.items == named(ORG, moved, NET, NET_ROUTE)
    assert list(selected.faults) == [NET_ROUTE.dn]


def test_what_others_still_need_is_not_taken_away(choose: Choose) -> None:
    selected = choose(named(ORG, NET, NET_ROUTE), named(*ALL))
    assert selected.items == named(*ALL)
    assert "example.org is local and has no route" in str(selected.faults[ORG.dn])


def test_a_domain_and_its_route_may_go_together(choose: Choose) -> None:
    assert choose(named(NET, NET_ROUTE), named(*ALL)).items == named(NET, NET_ROUTE)


def test_two_entries_with_one_key_are_one_too_many(choose: Choose) -> None:
    twin = Item(f"cn=twin,ou=domains,{SUFFIX}", NET.attributes)
    selected = choose(named(*ALL, twin), named(*ALL))
    assert selected.items == named(*ALL)
    (fault,) = selected.faults.values()
    assert fault.wrong == f"example.net stands twice, first as {NET.dn}"


def test_where_nearly_all_is_wrong_nothing_changes(choose: Choose) -> None:
    bad = [item_of("clients", f"10.0.{number}.1/24", "relay", SUFFIX) for number in range(FAULTS_LIMIT + 1)]
    with pytest.raises(ConfigInvalid, match=r"o=x: more than 100 entries are wrong, the first: nmNetwork=10\.0\."):
        choose(named(*ALL, *bad), named(*ALL))


def policy(*settings: str, name: str = "patience") -> Item:
    values = {"objectclass": ("nmPolicy",), "cn": (name,), "nmsetting": settings}
    return Item(f"cn={name},ou=policies,{SUFFIX}", values)


def policies(selected: Selected[str]) -> dict[str, float]:
    snapshot = open_snapshot(selected.result)
    snapshot.close()
    return dict(snapshot.policies)


@pytest.mark.parametrize("setting", ["retry_frist_s=5", "retry_first_s=soon", "retry_first_s=0", "expire_s", "="])
def test_a_bad_policy_is_refused_by_its_name_and_the_last_good_one_stays(choose: Choose, setting: str) -> None:
    good, other = policy("retry_first_s=60"), policy("expire_s=3600", name="other")
    bad = policy(setting, "retry_max_s=600")
    selected = choose(named(*ALL, bad, other), named(*ALL, good))
    assert list(selected.faults) == [bad.dn]
    assert policies(selected) == {"retry_first_s": 60, "expire_s": 3600}
    assert policies(choose(named(*ALL, bad, other))) == {"expire_s": 3600}


def test_of_two_policies_for_the_same_setting_the_first_stays(choose: Choose) -> None:
    first, late = policy("retry_first_s=60"), policy("retry_first_s=5", name="a-late-one")
    selected = choose(named(*ALL, first, late), named(*ALL, first))
    assert list(selected.faults) == [late.dn]
    assert policies(selected) == {"retry_first_s": 60}
