"""One model, two sources: an entry says what a line says, and a line is kept as an entry that says the same (R16)."""

from __future__ import annotations

import pytest

from nightmail.directory.tree import Item, addresses_of_list, item_of, lines_of, with_members
from nightmail.errors import ConfigInvalid

SUFFIX = "dc=example,dc=org"


def item(*classes: str, **attributes: str | tuple[str, ...]) -> Item:
    values = {name.lower(): (value,) if isinstance(value, str) else value for name, value in attributes.items()}
    return Item(f"cn=it,{SUFFIX}", {"objectclass": ("top", *classes), **values})


def said(entry: Item) -> list[tuple[str, str, str]]:
    return [(line.table, line.entry.key, line.entry.value) for line in lines_of(entry)]


@pytest.mark.parametrize(
    "line",
    [
        ("domains", "example.org", "local"),
        ("domains", ".example.net", "relay"),
        ("domains", "example.com", "alias example.org"),
        ("routes", "*", "mx"),
        ("routes", "carol@example.org", "lmtp:unix:/run/Dovecot/lmtp"),
        ("routes", "example.org", "maildir:/srv/Müller/{local_part}"),
        ("clients", "2001:db8::/32", "relay"),
        ("policies", "retry_first_s", "60.5"),
        ("mailboxes", "alice@example.org", ""),
        ("mailboxes", '"a, b"@example.org', ""),
        ("mailboxes", "用户@example.org", ""),
        ("aliases", "team@example.org", "alice@example.org, bob@example.net"),
        ("aliases", "@example.org", '"a, b"@example.org, bob@example.net'),
        ("aliases", "postmaster", "alice@example.org"),
        ("aliases", "team@example.org", "alice@example.org, 用户@example.org"),
        ("aliases", "用户@example.org", "alice@example.org"),
    ],
)
def test_a_line_that_is_kept_as_an_entry_is_read_back_as_it_was(line: tuple[str, str, str]) -> None:
    assert said(item_of(*line, SUFFIX)) == [line]


def test_an_entry_is_found_by_its_key_below_its_tables_container() -> None:
    assert item_of("domains", "example.org", "local", SUFFIX).dn == f"nmDomain=example.org,ou=domains,{SUFFIX}"
    assert item_of("mailboxes", '"a,b"@x.org', "", SUFFIX).dn == rf"uid=\"a\,b\"@x.org,ou=people,{SUFFIX}"
    assert item_of("aliases", "#x@y.org", "a@y.org", SUFFIX).dn == rf"cn=\#x@y.org,ou=lists,{SUFFIX}"


def test_where_an_entry_stands_is_its_name() -> None:
    (line,) = lines_of(item_of("domains", "example.org", "local", SUFFIX))
    assert line.entry.place == f"nmDomain=example.org,ou=domains,{SUFFIX}"


def test_a_policy_says_a_line_for_each_setting() -> None:
    policy = item("nmPolicy", cn="patience", nmSetting=("retry_first_s=60", "retry_max_s = 600", "expire_s"))
    assert said(policy) == [
        ("policies", "retry_first_s", "60"),
        ("policies", "retry_max_s", "600"),
        ("policies", "expire_s", ""),
    ]


def test_every_address_of_a_person_is_a_mailbox() -> None:
    person = item("inetLocalMailRecipient", mailLocalAddress=("a@x.org", "b@x.org"), mail="shown@x.org")
    assert said(person) == [("mailboxes", "a@x.org", ""), ("mailboxes", "b@x.org", "")]


def test_a_person_without_local_addresses_has_the_one_that_is_shown() -> None:
    assert said(item("inetLocalMailRecipient", mail="shown@x.org")) == [("mailboxes", "shown@x.org", "")]


def test_a_mail_host_alone_routes_the_address_unchanged() -> None:
    person = item("inetLocalMailRecipient", mailLocalAddress="a@x.org", mailHost="[mail.x.org]:2525")
    assert said(person) == [("mailboxes", "a@x.org", ""), ("routes", "a@x.org", "smtp:[mail.x.org]:2525")]


def test_a_routing_address_alone_replaces_the_address() -> None:
    person = item("inetLocalMailRecipient", mailLocalAddress="a@x.org", mailRoutingAddress="a@hub.x.org")
    assert said(person) == [("aliases", "a@x.org", "a@hub.x.org")]


def test_with_both_the_new_address_goes_to_the_host() -> None:
    person = item(
        "inetLocalMailRecipient",
        mailLocalAddress=("a@x.org", "b@x.org"),
        mailRoutingAddress="a@hub.x.org",
        mailHost="hub.x.org",
    )
    assert said(person) == [
        ("aliases", "a@x.org", "a@hub.x.org"),
        ("aliases", "b@x.org", "a@hub.x.org"),
        ("routes", "a@hub.x.org", "smtp:hub.x.org"),
    ]


def test_a_list_may_have_addresses_of_its_own_and_no_members() -> None:
    empty = item("nmMailList", cn="team", mailLocalAddress=("team@x.org", "crew@x.org"))
    assert addresses_of_list(empty) == ("team@x.org", "crew@x.org")
    assert said(empty) == []  # which a table can't say
    assert addresses_of_list(item("nmMailList", cn=("staff", "staff@x.org", "Postmaster"))) == (
        "staff@x.org",
        "Postmaster",
    )
    assert addresses_of_list(item("inetOrgPerson", cn="a@x.org")) == ()


def test_members_named_by_their_entries_are_those_with_an_address() -> None:
    alice = item("inetLocalMailRecipient", mailLocalAddress=("alice@x.org", "a@x.org"))
    other = item("nmMailList", cn="others@x.org")
    there = {"uid=alice,o=x": alice, "cn=others,o=x": other, "cn=printer,o=x": item("device", cn="printer")}
    team = item(
        "nmMailList", cn="team@x.org", member=("UID=alice , o=x", "cn=others,o=x", "cn=printer,o=x", "cn=no,o=x")
    )
    assert said(with_members(team, there)) == [("aliases", "team@x.org", "alice@x.org, others@x.org")]


def test_an_entry_about_something_else_says_nothing() -> None:
    assert lines_of(item("organizationalUnit", ou="people")) == []


@pytest.mark.parametrize(
    ("attributes", "wrong"),
    [
        ({}, "neither nmKind nor nmAliasOf"),
        ({"nmKind": "local", "nmAliasOf": "y.org"}, "both nmKind and nmAliasOf"),
        ({"nmKind": "loacl"}, "nmKind: loacl is no kind of domain"),
    ],
)
def test_a_domain_must_say_what_it_is(attributes: dict[str, str], wrong: str) -> None:
    with pytest.raises(ConfigInvalid, match=rf"cn=it,dc=example,dc=org: .*{wrong}.*nmKind: local"):
        lines_of(item("nmMailDomain", nmDomain="x.org", **attributes))
