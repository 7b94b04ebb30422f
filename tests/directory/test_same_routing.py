"""The same data, in tables or in a directory, give the same decisions (R16)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.directory.exchange import normal_lines, plan_changes
from nightmail.directory.known import Known, answers_of
from nightmail.directory.maps import DirectoryMaps
from nightmail.directory.selection import DirectoryTables
from nightmail.directory.tree import WHOLE_TABLES, Item
from nightmail.errors import ConfigInvalid, DeliveryFailed, NotKnownYet
from nightmail.mail.reply import Reply
from nightmail.routing.compiled import CompiledSnapshot, open_snapshot
from nightmail.routing.generations import compile_source, compile_tables
from nightmail.routing.snapshot import Accepted
from nightmail.routing.source import NAMES
from nightmail.routing.tables import TextTables

SUFFIX = "dc=example,dc=org"
DOMAINS = ["a.example", "b.example", "c.b.example", "d.example"]
LOCAL_PARTS = ["alice", "bob", "carol", "postmaster", "ü", '"x y"']
ADDRESSES = [f"{local_part}@{domain}" for local_part in LOCAL_PARTS for domain in [*DOMAINS, "far.example"]]

_domains = st.dictionaries(
    st.sampled_from([*DOMAINS, ".b.example"]),
    st.sampled_from(["local", "relay", "alias a.example", "alias b.example", "relay verify"]),
    max_size=4,
)
_routes = st.dictionaries(
    st.sampled_from([*DOMAINS, ".b.example", *ADDRESSES]),
    st.sampled_from(["mx", "maildir:/srv/{local_part}", "smtp:[192.0.2.1]:25", "reject:closed", "discard"]),
    max_size=6,
)
_aliases = st.dictionaries(
    st.sampled_from(["postmaster", *(f"@{domain}" for domain in DOMAINS), *ADDRESSES]),
    st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=3).map(", ".join),
    max_size=4,
)
_mailboxes = st.sets(st.sampled_from(ADDRESSES), max_size=6).map(lambda each: dict.fromkeys(each, ""))


def from_tables(directory: Path, tables: dict[str, dict[str, str]]) -> CompiledSnapshot:
    """The routing of these tables, without the lines that are refused."""
    (directory / "tables").mkdir()
    while True:
        for name in NAMES:
            text = "".join(f"{key}  {value}\n" for key, value in tables.get(name, {}).items())
            (directory / "tables" / name).write_text(text)
        try:
            path = compile_tables(str(directory / "tables"), str(directory / "from-tables"), "/")
        except ConfigInvalid as fault:
            table, line = fault.place.rpartition("/")[2].split(":")
            del tables[table][[*tables[table]][int(line) - 1]]
        else:
            return open_snapshot(path, "mx.example")


def from_directory(directory: Path) -> tuple[CompiledSnapshot, dict[str, Known], list[Item]]:
    lines = normal_lines(TextTables(str(directory / "tables")))
    items = plan_changes(lines, [], SUFFIX, delete=False).added
    whole = DirectoryTables(items, SUFFIX, WHOLE_TABLES)
    path = compile_source(whole, str(directory / "from-directory"), "/")
    looked_up: dict[str, Known] = {}

    def find(key: str) -> Known:
        if key not in looked_up:
            raise NotKnownYet((key,))
        return looked_up[key]

    return open_snapshot(path, "mx.example", lambda held: DirectoryMaps(held, find)), looked_up, items


def decisions(
    addresses: list[str], snapshot: CompiledSnapshot, looked_up: dict[str, Known], items: list[Item]
) -> list[object]:
    """Every answer, whatever has to be looked up for it."""
    return [
        answer(snapshot, question, looked_up, items)
        for address in addresses
        for question in [(address, True), (address, False), (address, None)]
    ]


def answer(
    snapshot: CompiledSnapshot, question: tuple[str, bool | None], looked_up: dict[str, Known], items: list[Item]
) -> object:
    address, may_relay = question
    for _ in range(50):
        try:
            if may_relay is not None:
                return address, may_relay, unordered(snapshot.accept(address, may_relay=may_relay))
            return address, snapshot.route(address)
        except NotKnownYet as missing:
            looked_up.update(answers_of(missing.keys, items, "/"))
        except DeliveryFailed as failure:
            return address, str(failure.reply)
    raise AssertionError(f"{question} is never answered")


def unordered(found: Accepted | Reply) -> object:
    """The values of an attribute have no order, and so the members of a list have none."""
    return found if isinstance(found, Reply) else (sorted(found.recipients), found.orig_to)


@given(_domains, _routes, _aliases, _mailboxes)
def test_tables_and_the_directory_made_of_them_decide_alike(
    domains: dict[str, str], routes: dict[str, str], aliases: dict[str, str], mailboxes: dict[str, str]
) -> None:
    # Of several domains the first in the file has <postmaster>; entries have no order but that of their names.
    tables = {"domains": dict(sorted(domains.items())), "routes": routes, "aliases": aliases, "mailboxes": mailboxes}
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        whole = from_tables(directory, tables)
        in_parts, looked_up, items = from_directory(directory)
        asked = [*ADDRESSES, "Alice@A.Example"]
        if tables["domains"].keys() & {
            *DOMAINS
        }:  # else a domain that is only there for its mailboxes is the postmaster's
            asked.append("postmaster")
        assert decisions(asked, in_parts, looked_up, items) == decisions(asked, whole, {}, [])
        in_parts.close()
        whole.close()


@pytest.mark.parametrize("listed", ["x.b.example", "b.example"])
def test_where_mailboxes_of_a_relay_domain_are_listed_they_count(tmp_path: Path, listed: str) -> None:
    tables = {
        "domains": {"b.example": "relay", ".b.example": "relay"},
        "mailboxes": {f"alice@{listed}": ""},
    }
    whole = from_tables(tmp_path, tables)
    in_parts, looked_up, items = from_directory(tmp_path)
    for address in ("alice@b.example", "bob@b.example", "alice@x.b.example", "bob@x.b.example", "bob@y.b.example"):
        expected = answer(whole, (address, False), {}, [])
        assert answer(in_parts, (address, False), looked_up, items) == expected
