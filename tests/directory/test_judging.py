"""Whatever could not come into force is found before anybody has to rely on it, with the reason and the remedy."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from nightmail.directory.contents import Held
from nightmail.directory.judging import Finding, Judged, judge_change, judge_of
from nightmail.directory.tree import Item, folded, folded_name, item_of
from nightmail.routing.snapshot import Accepted

SUFFIX = "dc=example,dc=org"
BASE = "/"


def line(table: str, key: str, value: str = "") -> Item:
    return item_of(table, key, value, SUFFIX)


def entry(name: str, *classes: str, **attributes: str | tuple[str, ...]) -> Item:
    values = {key: (value,) if isinstance(value, str) else value for key, value in attributes.items()}
    return folded(Item(f"{name},{SUFFIX}", {"objectClass": classes, **values}))


def person(name: str, **attributes: str | tuple[str, ...]) -> Item:
    return entry(f"uid={name},ou=people", "inetOrgPerson", "inetLocalMailRecipient", **attributes)


ORG = line("domains", "example.org", "local")
ROUTE = line("routes", "example.org", "discard")
ALICE = person("alice", mailLocalAddress="alice@example.org")
BOB = person("bob", mailLocalAddress=("bob@example.org", "b@example.org"), mailHost="mail.example.org")
SOUND = [
    ORG,
    ROUTE,
    line("domains", "relayed.org", "relay"),
    line("routes", "relayed.org", "smtp:[127.0.0.1]"),
    line("domains", "other.org", "alias example.org"),
    line("clients", "127.0.0.0/8", "relay"),
    ALICE,
    BOB,
    person("carol", mailLocalAddress="carol@example.org", mailRoutingAddress="c@elsewhere.net"),
    line("aliases", "team@example.org", "alice@other.org, b@example.org, x@elsewhere.net, y@relayed.org"),
    line("aliases", "alice@example.org", "alice@example.org, carol@example.org"),
    entry("cn=crew,ou=lists", "nmMailList", cn="crew@example.org", member=ALICE.dn),
    entry("cn=empty,ou=lists", "nmMailList", cn="empty@example.org"),
    entry("cn=printer", "device", cn="printer"),
]


def findings(*items: Item) -> list[Finding]:
    with judge_of(Held(items), SUFFIX, BASE) as judge:
        return [*judge.whole.findings, *(found for item in items for found in judge.findings_of(item))]


def test_of_a_sound_directory_there_is_nothing_to_say() -> None:
    assert findings(*SOUND) == []


@pytest.mark.parametrize(
    ("bad", "wrong", "right"),
    [
        (line("domains", "bad.org", "local"), "bad.org is local and has no route", "add bad.org to routes"),
        (line("domains", "bad.org", "lokal"), "nmKind: lokal is no kind of domain", "say nmKind: local"),
        (line("domains", "bad.org", "alias nowhere.org"), "nowhere.org is not in domains", "add it"),
        (line("routes", "example.net", "carrier-pigeon:x"), "carrier-pigeon", ""),
        (line("clients", "10.0.0.0/33", "relay"), "10.0.0.0/33", ""),
        (line("clients", "10.0.0.0/8", "rely"), "'rely' is no rule", "write relay"),
        (person("eve", mailLocalAddress="eve@exmaple.org"), "exmaple.org is not in domains", "mend the name"),
        (person("eve", mailLocalAddress="eve@other.org"), "another name of example.org", "write eve@example.org"),
        (person("eve", mailLocalAddress="eve"), "'eve' is not an address", "alice@example.org"),
        (person("eve", mailLocalAddress="eve@example.org", mailHost="a b"), "a b", ""),
        (person("eve", mailLocalAddress="eve@example.org", mailRoutingAddress="x"), "'x' is not an address", ""),
        (person("eve", mailLocalAddress="ALICE@example.org"), f"an address of {ALICE.dn} as well", "one of the two"),
        (line("aliases", "carol@example.org", "x@y.net"), "an address of uid=carol", "one of the two"),
        (line("aliases", "l@example.org", "nobody@example.org"), "leads to nobody", "mend the name"),
        (entry("cn=l", "nisMailAlias", cn="l@example.org", rfc822MailMember="/x"), "is not an address", "commands"),
        (line("aliases", "l@exmaple.org", "alice@example.org"), "exmaple.org is not in domains", "mend the name"),
    ],
)
def test_a_bad_entry_is_named_with_the_reason_and_the_remedy(bad: Item, wrong: str, right: str) -> None:
    found = findings(*SOUND, bad)
    assert [each.entry for each in found if each.entry == bad.dn], found
    assert any(wrong in each.wrong and right in each.right and each.is_fatal for each in found), found
    assert {each.entry for each in found} <= {bad.dn, "uid=alice,ou=people," + SUFFIX, "uid=carol,ou=people," + SUFFIX}


@pytest.mark.parametrize(
    ("bad", "wrong"),
    [
        (line("aliases", "l@example.org", "alice@example.org, alcie@example.org"), "alcie@example.org is neither"),
        (entry("cn=l", "nmMailList", cn="l@example.org", member=(ALICE.dn, f"uid=no,{SUFFIX}")), "there is no entry"),
        (entry("cn=l", "nmMailList", cn="l@example.org", member=(ALICE.dn, f"cn=printer,{SUFFIX}")), "no address"),
    ],
)
def test_a_member_of_a_list_that_gets_nothing_is_a_lesser_fault(bad: Item, wrong: str) -> None:
    (found,) = findings(*SOUND, bad)
    assert (found.entry, found.is_fatal) == (bad.dn, False)
    assert wrong in found.wrong


def test_a_list_leads_to_nobody_where_who_is_in_it_can_not_be_used() -> None:
    wrong = person("eve", mailLocalAddress="eve@example.org", mailRoutingAddress="x")
    found = findings(*SOUND, wrong, line("aliases", "l@example.org", "eve@example.org"))
    assert [each.wrong for each in found] == ["'x' is not an address", "the alias l@example.org leads to nobody"]


def overlooked(*items: Item) -> list[Finding]:
    with judge_of(Held(items), SUFFIX, BASE) as judge:
        return [found for item in items for found in judge.overlooked(item)]


def test_a_person_without_the_class_for_mail_is_named_where_the_address_would_be_a_mailbox() -> None:
    dave = entry("uid=dave,ou=people", "inetOrgPerson", mail="Dave@example.org")
    [found] = overlooked(*SOUND, dave)
    assert (found.entry, found.is_fatal) == (dave.dn, False)
    assert "no mailbox: it has no class inetLocalMailRecipient" in found.wrong
    elsewhere = entry("uid=eve,ou=people", "inetOrgPerson", mail="eve@elsewhere.net")
    unchecked = entry("uid=frank,ou=people", "inetOrgPerson", mail="frank@relayed.org")
    same = entry("uid=alice2,ou=people", "inetOrgPerson", mail="alice@example.org")
    assert overlooked(*SOUND, elsewhere, unchecked, same) == []


MAIN = line("domains", "twice.org", "local")._replace(dn=f"nmDomain=twice.org,ou=domains,nmSite=main,{SUFFIX}")
DR = MAIN._replace(dn=f"nmDomain=twice.org,ou=domains,nmSite=dr,{SUFFIX}")
TWICE = line("routes", "twice.org", "discard")


def test_of_two_sites_with_one_domain_the_first_in_force_stays_so_and_both_are_named() -> None:
    [found] = faults([*SOUND, MAIN, TWICE], DR)
    assert (found.entry, found.wrong) == (DR.dn, f"twice.org stands twice, first as {MAIN.dn}")
    with judge_of(Held([MAIN, DR, TWICE]), SUFFIX, BASE, {MAIN.dn: MAIN, TWICE.dn: TWICE}) as judge:
        assert judge.whole.items.keys() == {MAIN.dn, TWICE.dn}


def test_of_two_sites_with_one_address_both_are_named() -> None:
    main = ALICE._replace(dn=f"uid=alice,ou=people,nmSite=main,{SUFFIX}")
    dr = ALICE._replace(dn=f"uid=alice,ou=people,nmSite=dr,{SUFFIX}")
    found = {each.entry: each.wrong for each in findings(ORG, ROUTE, main, dr)}
    assert found == {
        main.dn: f"alice@example.org is an address of {dr.dn} as well: its mail goes to one mailbox of that name",
        dr.dn: f"alice@example.org is an address of {main.dn} as well: its mail goes to one mailbox of that name",
    }


def test_of_two_lists_with_one_address_the_first_is_said_to_count() -> None:
    lists = [
        entry("cn=one,ou=lists", "nmMailList", cn="l@example.org", nmTarget="b@example.org"),
        entry("cn=all,ou=lists", "nmMailList", cn="l@example.org", member=ALICE.dn),
    ]
    for is_external in (False, True):
        with judge_of(Held([ORG, ROUTE, ALICE, BOB, *lists]), SUFFIX, BASE, is_external=is_external) as judge:
            second, first = (found for item in lists for found in judge.findings_of(item))
            answer = judge.snapshot.accept("l@example.org", may_relay=False)
        assert isinstance(answer, Accepted)
        assert answer.recipients == ("alice@example.org",)
        assert (
            first.wrong == f"l@example.org is an address of {lists[0].dn} as well: its mail goes where this entry says"
        )
        assert second.wrong.endswith(f"{lists[1].dn} as well: its mail goes where that one says, not where this does")
        assert (first.is_fatal, second.is_fatal) == (not is_external, True)


def test_in_a_directory_of_somebody_elses_two_people_with_one_address_get_mail() -> None:
    other = ALICE._replace(dn=f"uid=other,ou=people,{SUFFIX}")
    with judge_of(Held([ORG, ROUTE, ALICE, other]), SUFFIX, BASE, is_external=True) as judge:
        [found] = judge.findings_of(other)
    assert found.wrong.endswith(f"{ALICE.dn} as well: its mail goes to one mailbox of that name")
    assert not found.is_fatal


def test_who_is_in_a_directory_of_somebody_elses_and_no_person_to_its_schema_is_not_said_to_be_missing() -> None:
    crew = entry("cn=crew,ou=lists", "nmMailList", cn="crew@example.org", member=ALICE.dn)
    with judge_of(Held([ORG, ROUTE, crew]), SUFFIX, BASE, is_external=True) as judge:
        member, nobody = judge.findings_of(crew)
    assert member.wrong == f"{ALICE.dn}, a member of it, is not known as a person or a list with an address"
    assert (nobody.wrong, nobody.is_fatal) == ("the list crew@example.org leads to nobody", True)
    assert "[directory] schema and mapping say who" in member.right
    assert "[directory] schema and mapping say who" in nobody.right


def judged(before: list[Item], *changed: Item, deleted: tuple[Item, ...] = ()) -> Judged:
    changes: dict[str, Item | None] = {folded_name(item.dn): item for item in changed}
    changes |= {folded_name(item.dn): None for item in deleted}
    contents = Held(before)
    return judge_change(contents, contents.named(changes), changes, SUFFIX, BASE)


def faults(before: list[Item], *changed: Item, deleted: tuple[Item, ...] = ()) -> list[Finding]:
    return judged(before, *changed, deleted=deleted).faults


def test_what_comes_together_is_judged_together() -> None:
    new = [
        line("aliases", "all@new.org", "dave@new.org"),
        person("dave", mailLocalAddress="dave@new.org"),
        line("domains", "new.org", "local"),
        line("routes", "new.org", "discard"),
    ]
    assert faults(SOUND, *new) == []
    found = faults(SOUND, *new[:3])
    assert [(each.entry, each.wrong.partition(" (")[0]) for each in found[:1]] == [
        (new[2].dn, "new.org is local and has no route")
    ]


def test_what_was_wrong_before_is_no_fault_of_a_change() -> None:
    wrong = line("domains", "bad.org", "local")
    assert faults([*SOUND, wrong], person("dave", mailLocalAddress="dave@example.org")) == []
    assert faults([*SOUND, wrong], line("routes", "bad.org", "discard")) == []


def test_who_takes_away_what_others_need_hears_of_it() -> None:
    (found,) = faults(SOUND, deleted=(ROUTE,))
    assert found.entry == ORG.dn
    assert "example.org is local and has no route" in found.wrong
    alias = SOUND[4]
    assert faults(SOUND, deleted=(ROUTE, ORG, alias)) == []


def test_an_entry_that_is_changed_does_not_stand_in_its_own_way() -> None:
    assert faults(SOUND, ALICE) == []
    moved = ALICE._replace(attributes={**ALICE.attributes, "maillocaladdress": ("bob@example.org",)})
    [found] = faults(SOUND, moved)
    assert found.wrong.startswith(f"bob@example.org is an address of uid=bob,ou=people,{SUFFIX} as well: ")


def told(found: list[Finding]) -> dict[str, str]:
    return {each.entry: each.wrong for each in found}


def test_who_takes_away_the_last_one_of_a_list_hears_of_that_list_and_of_those_that_lead_to_it() -> None:
    lists = [
        line("aliases", "postmaster@example.org", "ALICE@Other.org"),
        line("aliases", "root@example.org", "postmaster@example.org"),
        line("aliases", "abuse@example.org", "root@example.org, alice@example.org"),
        line("aliases", "both@example.org", "alice@example.org, b@example.org"),
        line("aliases", "m\u00fcller@example.org", "alice@example.org"),
        person("dan", mailLocalAddress="dan@example.org", mailRoutingAddress="alice@example.org"),
        entry("cn=crew,ou=lists", "nmMailList", cn="crew@example.org", member=ALICE.dn),
    ]
    before = [*(item for item in SOUND if "alice@example.org" not in item.dn and "crew" not in item.dn), *lists]
    nameless = ALICE._replace(attributes={**ALICE.attributes, "maillocaladdress": ()})
    for found in (judged(before, deleted=(ALICE,)), judged(before, nameless)):
        dead = {each.entry: each.wrong for each in found.faults}
        assert dead == {
            item.dn: f"the {'list' if 'crew' in item.dn else 'alias'} {key} leads to nobody"
            for item in lists
            if (key := (item.values("mailLocalAddress") or item.values("cn"))[0]) != "both@example.org"
        }
        assert [each.entry for each in found.remarks if "both" in each.entry] == [lists[3].dn]
    assert faults(before, deleted=(ALICE, *lists)) == []


def test_lists_of_somebody_who_keeps_another_address_or_whose_address_others_have_are_no_fault() -> None:
    behind = line("aliases", "alice@example.org", "b@example.org")
    chief = line("aliases", "chief@example.org", "alice@example.org")
    assert judged([ORG, ROUTE, ALICE, BOB, behind, chief], deleted=(ALICE,)) == Judged([], [])
    moved = ALICE._replace(attributes={**ALICE.attributes, "maillocaladdress": ("al@example.org",)})
    member = entry("cn=team,ou=lists", "nmMailList", cn="m@example.org", member=ALICE.dn)
    sound = [ORG, ROUTE, ALICE, member]
    assert judged(sound, moved) == Judged([], [])
    assert told(faults([*sound, chief], moved)) == {chief.dn: "the alias chief@example.org leads to nobody"}


def test_lists_are_left_without_anybody_where_a_whole_domain_is_not_taken_any_more() -> None:
    catch_all = line("aliases", "@example.org", "x@elsewhere.net")
    typo = line("aliases", "sales@example.org", "typo@example.org")
    assert told(faults([ORG, ROUTE, catch_all, typo], deleted=(catch_all,))) == {
        typo.dn: "the alias sales@example.org leads to nobody"
    }


class Counted(Held):
    """How many questions about addresses were asked."""

    questions = 0

    def about(self, keys: Collection[str]) -> list[Item]:
        self.questions += 1
        return super().about(keys)


def test_who_is_in_a_long_list_is_asked_for_together() -> None:
    people = [person(f"u{n}", mailLocalAddress=f"u{n}@example.org") for n in range(200)]
    every = line("aliases", "all@example.org", ", ".join(f"u{n}@example.org" for n in range(200)))
    before = Counted([ORG, ROUTE, *people, every])
    gone = folded_name(people[0].dn)
    judged_once = judge_change(before, before.named([gone]), {gone: None}, SUFFIX, BASE)
    assert [each.entry for each in judged_once.remarks] == [every.dn]
    assert before.questions < 20


def test_a_list_that_led_to_nobody_before_is_no_fault_of_a_change() -> None:
    dead = line("aliases", "dead@example.org", "gone@example.org, nobody@example.org")
    gone = person("gone", mailLocalAddress="gone@example.org", mailRoutingAddress="nobody@example.org")
    assert faults([ORG, ROUTE, dead, gone], deleted=(gone,)) == []
