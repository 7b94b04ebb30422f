"""Each fault of the tables, with the exact line that names it (R17)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.routing.table_texts import GOOD, write_tables

from nightmail.errors import ConfigInvalid
from nightmail.routing.generations import check_tables
from nightmail.routing.source import NAMES

FORMS = (
    "a route is mx, smtp:HOST, smtp:[HOST]:PORT, lmtp:[HOST]:PORT, lmtp:unix:PATH, maildir:PATH, discard or reject:TEXT"
)
WORDS = ("example.org", "example.net", "local", "relay", "alias ", "mx", "smtp:", "maildir:", "reject:", "10.0.0.0/8")
ORG = "example.org maildir:/srv/{local_part}\n"


def fault(directory: Path, **texts: str | bytes) -> str:
    """The error's line, with only the file's name left of its path."""
    tables = write_tables(directory, **{**GOOD, **texts})
    with pytest.raises(ConfigInvalid) as caught:
        check_tables(str(tables), str(directory / "compiled"))
    assert not list((directory / "compiled").glob("*"))
    return str(caught.value).removeprefix(f"{tables}/")


KINDS = "write local, relay, relay verify or alias OTHER-DOMAIN"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("example.org", f"domains:1: the domain's kind is missing; {KINDS}"),
        ("example.org lcal", f"domains:1: 'lcal' is no kind of domain; {KINDS}"),
        ("\nexample.org local # ours", f"domains:2: 'local # ours' is no kind of domain; {KINDS}, and a comment on a "
         "line of its own"),
        ("x.example alias", f"domains:1: 'alias' is no kind of domain; {KINDS}"),
        ("x.example alias -y", "domains:1: '-y' is not a domain name; a domain name looks like example.org"),
        ("* relay", "domains:1: '*' would make every domain ours, and this an open relay; name the domains one by one"),
        ("a@b.example relay", "domains:1: 'a@b.example' is not a domain name; a domain name looks like example.org"),
        ("x.example alias y.example", "domains:1: y.example is not in domains; add it there as local or relay"),
        ("x.example alias x.example", "domains:1: x.example is itself another name, of x.example; make one of them "
         "local or relay"),
        ("example.org local\nx.example alias y.example\ny.example alias example.org", "domains:2: y.example is itself "
         "another name, of example.org; make x.example another name of example.org"),
        ("x.example local", "domains:1: x.example is local and has no route (* does not count for a local domain); "
         "add x.example to routes"),
        ("example.org local\nExample.ORG. relay", "domains:2: Example.ORG. stands twice, first on line 1; keep one of "
         "the two"),
        ("bücher.example relay\n\nxn--bcher-kva.example relay", "domains:3: xn--bcher-kva.example stands twice, first "
         "on line 1; keep one of the two"),
    ],
)  # fmt: skip
def test_a_fault_in_domains(tmp_path: Path, text: str, line: str) -> None:
    assert fault(tmp_path, domains=text) == line


def test_a_bad_idn_is_named(tmp_path: Path) -> None:
    line = fault(tmp_path, domains="-ü.example relay")
    assert line.startswith("domains:1: '-ü.example' is not an internationalised domain name: ")
    assert line.endswith("; write it as in example.org")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{ORG}example.net smpt:[127.0.0.1]:25", f"routes:2: 'smpt:[127.0.0.1]:25' is not a route; {FORMS}"),
        (f"{ORG}example.net", f"routes:2: '' is not a route; {FORMS}"),
        (f"{ORG}example.net mx # by DNS", f"routes:2: 'mx # by DNS' is not a route; {FORMS}"),
        (f"{ORG}@example.net mx", "routes:2: '@example.net' is not a key of routes; write example.net for the whole "
         "domain"),
        (f"{ORG}* mx\n* mx", "routes:3: * stands twice, first on line 2; keep one of the two"),
        (f"{ORG}example.net smtp:[127.0.0.1]:70000", "routes:2: 70000 is not a port; a port is a number from "
         "1 to 65535"),
        ("* mx", "domains:1: example.org is local and has no route (* does not count for a local domain); add "
             "example.org to routes"),
        (".org mx\n* mx", "domains:1: example.org is local and has no route (* does not count for a local domain); add "
             "example.org to routes"),
        (ORG, "domains:2: example.net is relay and has no route; add example.net to routes"),
    ],
)  # fmt: skip
def test_a_fault_in_routes(tmp_path: Path, text: str, line: str) -> None:
    assert fault(tmp_path, routes=text) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("alice", "mailboxes:1: 'alice' is not an address; an address looks like alice@example.org"),
        ("alice@example.org bob@example.org", "mailboxes:1: 'bob@example.org' stands after the address; mailboxes has "
         "one address on each line, alone"),
        ("alice@example.com", "mailboxes:1: example.com is not in domains; add it there as local or relay, or mend the "
         "name"),
        ("a@example.org\nb@example.org\nA@Example.org", "mailboxes:3: A@Example.org stands twice, first on line 1; "
         "keep one of the two"),
        (".alice@example.org", "mailboxes:1: '.alice@example.org' can't name a Maildir; a local part with a / or a "
         "leading dot needs another route"),
        (" alice@example.org", "mailboxes:1: the line begins with white space and continues nothing; begin an entry, "
         "and a comment, in the first column"),
        (b"alice@example.org\nj\xf6rg@example.org", "mailboxes:2: the line is not UTF-8; store the file as UTF-8"),
    ],
)  # fmt: skip
def test_a_fault_in_mailboxes(tmp_path: Path, text: str | bytes, line: str) -> None:
    assert fault(tmp_path, aliases="", mailboxes=text) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("team@example.org", "aliases:1: the alias stands for nothing; write one or more addresses after it"),
        ("team alice@example.org", "aliases:1: 'team' is not an address; an address looks like alice@example.org"),
        ("team@example.org alice", "aliases:1: 'alice' is not an address; an address looks like alice@example.org"),
        ("team@example.org |/bin/cat", "aliases:1: '|/bin/cat' is not an address; commands, files and includes can't "
         "be targets: write addresses, or a route"),
        ('team@example.org "|/bin/cat -n"', "aliases:1: '\"|/bin/cat -n\"' is not an address; commands, files and "
         "includes can't be targets: write addresses, or a route"),
        ("team@example.org :include:/etc/x", "aliases:1: ':include:/etc/x' is not an address; commands, files and "
         "includes can't be targets: write addresses, or a route"),
        ("@example.org @example.net", "aliases:1: '@example.net' is not an address; write alias example.net in domains"
         ", if the whole domain is to have another name"),
        ("team@example.org alice@example.org # both", "aliases:1: a comment stands after an entry; give it a line of "
         "its own, from the first column"),
        ("team@example.com alice@example.org", "aliases:1: example.com is not in domains; add it there as local or "
         "relay, or mend the name"),
        ("\nteam@example.org alice@example.org, alicf@example.org", "aliases:2: alicf@example.org is neither a mailbox "
         "nor an alias; add it to mailboxes, or mend the name"),
        ("# a\na@example.org b@example.org\nb@example.org a@example.org", "aliases:2: the alias a@example.org leads in "
         "a circle; name at least one address that is no alias, or fewer of them"),
        ("@example.org nobody@example.org", "aliases:1: nobody@example.org is neither a mailbox nor an alias; add it "
         "to mailboxes, or mend the name"),
        ("a@example.org x@example.com\nb@example.org x@example.com\nA@example.org x@example.com", "aliases:3: "
         "A@example.org stands twice, first on line 1; keep one of the two"),
    ],
)  # fmt: skip
def test_a_fault_in_aliases(tmp_path: Path, text: str, line: str) -> None:
    assert fault(tmp_path, aliases=text) == line


def test_an_address_in_an_alias_domain_belongs_into_the_real_one(tmp_path: Path) -> None:
    domains = GOOD["domains"] + "old.example alias example.org\n"
    line = "is another name of example.org and has no addresses; write"
    assert (
        fault(tmp_path, domains=domains, mailboxes="x@old.example") == f"mailboxes:1: old.example {line} x@example.org"
    )
    assert (
        fault(tmp_path, domains=domains, aliases="@old.example a@b.example")
        == f"aliases:1: old.example {line} @example.org"
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("300.0.0.0/8 relay", "clients:1: '300.0.0.0/8' is not a network; a network looks like 192.0.2.0/24, "
         "2001:db8::/32 or 192.0.2.1"),
        ("10.1.0.0/8 relay", "clients:1: '10.1.0.0/8' is not a network; did you mean 10.0.0.0/8?"),
        ("mail.example.org relay", "clients:1: 'mail.example.org' is not a network; a network looks like 192.0.2.0/24, "
         "2001:db8::/32 or 192.0.2.1"),
        ("10.0.0.0/8", "clients:1: the rule for these clients is missing; write relay, submit or deny"),
        ("10.0.0.0/8 allow", "clients:1: 'allow' is no rule for clients; write relay, submit or deny"),
        ("127.0.0.1 relay\n127.0.0.1/32 deny", "clients:2: 127.0.0.1/32 stands twice, first on line 1; keep one of the "
         "two"),
    ],
)  # fmt: skip
def test_a_fault_in_clients(tmp_path: Path, text: str, line: str) -> None:
    assert fault(tmp_path, clients=text) == line


NAMES_OF_POLICIES = (
    "write one of retry_first_s, retry_max_s, expire_s, bounce_expire_s, delay_report_s, destination_connections, "
    "total_connections, recipients_per_message, breaker_failures, breaker_first_s, breaker_max_s"
)
NUMBERS = "write a number such as 300 or 0.5, up to 999999999 and with at most three decimals"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("retry_frist_s 60", f"policies:1: 'retry_frist_s' is no setting that can be a policy; {NAMES_OF_POLICIES}"),
        ("handover_wait_s 5", f"policies:1: 'handover_wait_s' is no setting that can be a policy; {NAMES_OF_POLICIES}"),
        ("expire_s 5\nretry_first_s", f"policies:2: '' is not a number that a policy can have; {NUMBERS}"),
        ("retry_first_s 1e3", f"policies:1: '1e3' is not a number that a policy can have; {NUMBERS}"),
        ("retry_first_s 60 # s", f"policies:1: '60 # s' is not a number that a policy can have; {NUMBERS}"),
        ("expire_s 9999999999", f"policies:1: '9999999999' is not a number that a policy can have; {NUMBERS}"),
        ("retry_first_s 0.0", "policies:1: retry_first_s can't be 0.0; write a number above 0"),
        ("total_connections 1.5", "policies:1: total_connections can't be 1.5; write a whole number of at least 1"),
        (
            "retry_max_s 60\nretry_max_s 60",
            "policies:2: retry_max_s stands twice, first on line 1; keep one of the two",
        ),
    ],
)
def test_a_fault_in_policies(tmp_path: Path, text: str, line: str) -> None:
    assert fault(tmp_path, policies=text) == line


def test_tables_that_are_nowhere_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        check_tables(str(tmp_path / "tables"), str(tmp_path))
    right = "make it, or name the directory with the tables in [tables] directory"
    assert str(caught.value) == f"{tmp_path}/tables: there is no such directory; {right}"


@given(st.sampled_from(NAMES), st.lists(st.sampled_from([*'ab@.,#"*: \t\n[]/é', *WORDS])))
def test_any_table_is_taken_or_refused_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, name: str, pieces: list[str]
) -> None:
    directory = tmp_path_factory.getbasetemp()
    tables = write_tables(directory, **{**GOOD, name: "".join(pieces)})
    place = f"{tables}/"
    try:
        check_tables(str(tables), str(directory / "compiled"))
    except ConfigInvalid as error:
        place = error.place
    assert place.startswith(f"{tables}/")
