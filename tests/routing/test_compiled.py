from __future__ import annotations

from pathlib import Path

import pytest
from tests.routing.table_texts import GOOD, write_tables

from nightmail.errors import DirectoryUnavailable
from nightmail.mail.reply import Reply
from nightmail.routing.compiled import DOMAIN, CompiledSnapshot, Summary, Writer, open_snapshot
from nightmail.routing.generations import compile_tables
from nightmail.routing.snapshot import Accepted


def compiled(directory: Path, **texts: str) -> CompiledSnapshot:
    tables = write_tables(directory, **texts)
    return open_snapshot(compile_tables(str(tables), str(directory / "compiled")), "mx1.example.net")


def test_the_example_of_the_contract_routes_as_it_says(tmp_path: Path) -> None:
    texts = {**GOOD, "aliases": "postmaster@example.org   alice@example.org, bob@example.net\n"}
    snapshot = compiled(tmp_path, **texts)
    assert snapshot.accept("alice@example.org", may_relay=False) == Accepted(("alice@example.org",))
    both = ("alice@example.org", "bob@example.net")
    assert snapshot.accept("postmaster@example.org", may_relay=False) == Accepted(both, "postmaster@example.org")
    assert snapshot.accept("postmaster", may_relay=False) == Accepted(both, "postmaster")
    assert snapshot.accept("anyone@example.net", may_relay=False) == Accepted(("anyone@example.net",))
    unknown, stranger = (snapshot.accept(a, may_relay=False) for a in ("eve@example.org", "eve@example.com"))
    assert (str(unknown), str(stranger)) == ("550 5.1.1 no such user here", "554 5.7.1 relay access denied")
    assert snapshot.route("alice@example.org").path == "/srv/mail/{local_part}"
    assert snapshot.route("bob@example.net").destination == "smtp:[127.0.0.1]:2526"
    assert snapshot.route("eve@example.com").destination == "mx:example.com"
    assert (snapshot.client_rule("127.8.9.1"), snapshot.client_rule("128.0.0.1")) == ("relay", "")
    snapshot.close()


def test_without_any_file_nobody_relays_and_all_goes_by_mx(tmp_path: Path) -> None:
    snapshot = compiled(tmp_path)
    assert isinstance(snapshot.accept("a@example.com", may_relay=False), Reply)
    assert snapshot.client_rule("127.0.0.1") == ""
    assert snapshot.route("a@example.com").destination == "mx:example.com"
    assert snapshot.accept("postmaster", may_relay=False) == Accepted(("postmaster@mx1.example.net",), "postmaster")
    snapshot.close()


def test_relative_paths_start_above_the_tables(tmp_path: Path) -> None:
    snapshot = compiled(tmp_path, **{**GOOD, "routes": "example.org maildir:mail/{local_part}\n* mx\n"})
    assert snapshot.route("alice@example.org").path == f"{tmp_path}/mail/{{local_part}}"
    snapshot.close()


@pytest.mark.parametrize(
    ("domains", "mailboxes", "postmaster"),
    [
        ("b.example relay\na.example local\nc.example local", "postmaster@c.example", "postmaster@c.example"),
        ("b.example relay\na.example local\nc.example local", "x@c.example", "postmaster@a.example"),
        ("b.example relay\nz.example relay\n.sub.example relay", "", "postmaster@b.example"),
        ("", "", ""),
    ],
)
def test_the_postmaster_is_at_home_in_our_first_domain(
    tmp_path: Path, domains: str, mailboxes: str, postmaster: str
) -> None:
    routes = "a.example discard\nc.example discard\n* mx"
    snapshot = compiled(tmp_path, domains=domains, mailboxes=mailboxes, routes=routes)
    assert snapshot.summary.postmaster == postmaster
    snapshot.close()


def test_a_summary_counts_and_tells_states_apart(tmp_path: Path) -> None:
    first = compiled(tmp_path, **GOOD)
    second = compiled(tmp_path, **GOOD)
    third = compiled(tmp_path, **{**GOOD, "clients": ""})
    assert first.summary.counts == {
        "domains": 2, "routes": 3, "aliases": 1, "mailboxes": 2, "clients": 1, "policies": 2,
    }  # fmt: skip
    assert first.summary.digest == second.summary.digest != third.summary.digest
    for snapshot in (first, second, third):
        snapshot.close()


def test_a_snapshot_has_the_policies_as_numbers_and_none_where_there_is_no_table(tmp_path: Path) -> None:
    policies = "retry_first_s  0.5\ntotal_connections  040\ndelay_report_s  0.0\n"
    with_some, without = (
        compiled(tmp_path, **{**GOOD, "policies": policies}),
        compiled(tmp_path, **{**GOOD, "policies": ""}),
    )
    assert with_some.policies == {"retry_first_s": 0.5, "total_connections": 40, "delay_report_s": 0}
    assert without.policies == {}
    for snapshot in (with_some, without):
        snapshot.close()


def test_a_key_too_long_to_be_kept_is_not_there(tmp_path: Path) -> None:
    snapshot = compiled(tmp_path, **GOOD)
    assert str(snapshot.accept("x" * 600 + "@example.org", may_relay=False)) == "550 5.1.1 no such user here"
    snapshot.close()


def test_a_snapshot_answers_from_the_tables_as_they_were(tmp_path: Path) -> None:
    before = compiled(tmp_path, **GOOD)
    for _ in range(4):
        after = compiled(tmp_path, **{**GOOD, "aliases": "", "mailboxes": "carol@example.org"})
        assert isinstance(after.accept("bob@example.org", may_relay=False), Reply)
        after.close()
    assert not Path(before.path).exists()
    assert before.accept("bob@example.org", may_relay=False) == Accepted(("bob@example.org",))
    before.close()


def test_many_entries_are_written_a_part_at_a_time(tmp_path: Path) -> None:
    mailboxes = "".join(f"user{number}@example.org\n" for number in range(45_000))
    snapshot = compiled(tmp_path, **{**GOOD, "aliases": "", "mailboxes": mailboxes})
    for number in (0, 19_999, 20_000, 44_999):
        assert snapshot.accept(f"user{number}@example.org", may_relay=False) == Accepted((f"user{number}@example.org",))
    assert isinstance(snapshot.accept("user45000@example.org", may_relay=False), Reply)
    snapshot.close()


def test_what_was_not_compiled_by_this_release_is_not_opened(tmp_path: Path) -> None:
    with Writer(str(tmp_path / "other.lmdb"), 1 << 20) as writer:
        writer.add(DOMAIN, "example.org", ("local", ""))
        writer.finish(Summary(format=0))
    with pytest.raises(DirectoryUnavailable, match="compiled by another release"):
        open_snapshot(str(tmp_path / "other.lmdb"))


@pytest.mark.parametrize("content", [b"", b"not a database" * 1000])
def test_a_file_that_is_no_database_is_not_opened(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.lmdb"
    path.write_bytes(content)
    with pytest.raises(DirectoryUnavailable):
        open_snapshot(str(path))
    with pytest.raises(DirectoryUnavailable):
        open_snapshot(str(tmp_path / "none.lmdb"))
