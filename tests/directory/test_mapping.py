"""What entries of other schemas say, in the words of our own; and that nobody's address becomes a filter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.directory.filters import check_filter
from nightmail.directory.known import Known, answers_of, keys_of
from nightmail.directory.mapping import ForeignSchema
from nightmail.directory.mapping_settings import PRESETS, MappingSettings, SchemaName, mapping_of
from nightmail.directory.tree import Item

AD = ForeignSchema(PRESETS["active-directory"])
DS = ForeignSchema(PRESETS["389ds"])


def entry(name: str, classes: tuple[str, ...], **attributes: tuple[str, ...]) -> Item:
    return Item(name, {"objectclass": classes, **{key.lower(): values for key, values in attributes.items()}})


def user(name: str, **attributes: tuple[str, ...]) -> Item:
    return entry(f"CN={name},DC=example,DC=com", ("top", "person", "organizationalPerson", "user"), **attributes)


def group(name: str, **attributes: tuple[str, ...]) -> Item:
    return entry(f"CN={name},DC=example,DC=com", ("top", "group"), **attributes)


def test_addresses_lose_the_kind_that_stands_before_them_and_others_than_mail_are_none() -> None:
    item = user(
        "alice", proxyAddresses=("smtp:a@example.com", "SMTP:Alice@Example.com", "X400:c=us;a=x", "SIP:a@b.com")
    )
    assert AD.read(item).values("mailLocalAddress") == ("Alice@Example.com", "a@example.com")
    assert keys_of(AD.read(item)) == ["alice@example.com", "a@example.com"]


def test_the_attribute_mail_has_no_kinds() -> None:
    item = user("alice", mail=("alice@example.com",), proxyAddresses=("smtp:Alice@example.com", "a@example.com"))
    assert keys_of(AD.read(item)) == ["alice@example.com", "a@example.com", "alice@example.com"]


@pytest.mark.parametrize(
    "value", ["none", "alice", "@example.com", "a b@example.com", "", "smtp:", "a@b@c", "ü@\ud800"]
)
def test_a_value_that_is_no_address_does_not_keep_mail_from_the_others(value: str) -> None:
    item = AD.read(user("alice", mail=(value,), proxyAddresses=("SMTP:alice@example.com", f"smtp:{value}")))
    assert answers_of(["alice@example.com"], [item], "/") == {"alice@example.com": Known(True, ids=("",))}


def test_mail_of_a_person_goes_where_another_address_says_and_not_where_it_is_already() -> None:
    away = AD.read(user("bob", mail=("bob@example.com",), targetAddress=("SMTP:bob@cloud.example",)))
    here = AD.read(user("alice", mail=("alice@example.com",), targetAddress=("SMTP:Alice@example.com",)))
    answers = answers_of(["bob@example.com", "alice@example.com"], [away, here], "/")
    assert answers["bob@example.com"].targets == ("bob@cloud.example",)
    assert answers["alice@example.com"] == Known(True, ids=("",))


def test_a_list_has_the_main_addresses_of_its_members_and_those_that_have_no_entry() -> None:
    alice = AD.read(user("alice", proxyAddresses=("smtp:a@example.com", "SMTP:alice@example.com")))
    team = AD.read(group("team", mail=("team@example.com",), member=("CN=alice,DC=example,DC=com", "CN=gone,DC=x")))
    assert answers_of(["team@example.com"], [team], "/", [alice])["team@example.com"].targets == ("alice@example.com",)
    staff = DS.read(
        entry(
            "cn=staff,o=x",
            ("groupOfUniqueNames", "mailGroup"),
            mail=("staff@example.com",),
            uniqueMember=("uid=bob,o=x#'0101'B",),
            mgrpRFC822MailMember=("eve@example.net",),
        )
    )
    bob = DS.read(entry("uid=bob,o=x", ("inetOrgPerson",), mail=("bob@example.com",)))
    known = answers_of(["staff@example.com"], [staff], "/", [bob])["staff@example.com"]
    assert known.targets == ("bob@example.com", "eve@example.net")


def test_a_list_without_an_address_is_none() -> None:
    assert keys_of(AD.read(group("hidden@example.com", cn=("hidden@example.com",), member=("CN=x",)))) == []


@pytest.mark.parametrize("schema", PRESETS)
@given(text=st.text(max_size=30))
def test_whatever_is_asked_for_stays_a_value_of_the_filter(schema: SchemaName, text: str) -> None:
    check_filter(ForeignSchema(PRESETS[schema]).filter_of([text, "b@example.com"]), "filter")


def test_who_is_asked_for_is_of_a_class_and_matches_the_further_filter() -> None:
    filter_text = AD.filter_of(["a*@example.com"])
    enabled = "(!(userAccountControl:1.2.840.113556.1.4.803:=2))"
    address = "(|(proxyAddresses=smtp:a\\2a@example.com)(mail=a\\2a@example.com))"
    people = f"(&(|(objectClass=user)(objectClass=contact)){enabled})"
    assert filter_text == f"(|(&{address}(|{people}(&(|(objectClass=group))))))"


def test_people_and_lists_may_have_their_addresses_in_different_attributes() -> None:
    schema = ForeignSchema(mapping_of("inetorgperson", MappingSettings(lists_addresses=("mailAlternateAddress",))))
    people = "(&(|(mail=a@x))(|(&(|(objectClass=inetOrgPerson)))))"
    lists = "(&(|(mailAlternateAddress=a@x))(|(&(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)))))"
    assert schema.filter_of(["a@x"]) == f"(|{people}{lists})"


def test_single_parts_of_a_schema_can_be_others() -> None:
    mapping = mapping_of("inetorgperson", MappingSettings(people_addresses=("mail", "otherMailbox"), lists=()))
    assert mapping.people == ("inetOrgPerson",)
    assert mapping.people_addresses == ("mail", "otherMailbox")
    assert mapping.lists == ()
    assert PRESETS["inetorgperson"].people_addresses == ("mail",)


def test_without_lists_none_are_asked_for() -> None:
    schema = ForeignSchema(mapping_of("inetorgperson", MappingSettings(lists=())))
    assert "group" not in schema.filter_of(["a@example.com"])
    check_filter(schema.mail_filter, "filter")
