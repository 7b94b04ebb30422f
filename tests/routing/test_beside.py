"""Tables beside a directory with people and lists: domains, routes, clients, policies, nothing that is looked up."""

from __future__ import annotations

from pathlib import Path

import pytest

from nightmail.errors import ConfigInvalid
from nightmail.routing.beside import TablesBeside
from nightmail.routing.generations import check_tables
from nightmail.routing.table_files import TableFiles

TABLES = {
    "domains": "example.com local\nexample.net alias example.com\n",
    "routes": "example.com lmtp:[127.0.0.1]:24\n",
    "clients": "127.0.0.0/8 relay\n",
    "policies": "retry_first_s 60\n",
}


def write(directory: Path, **tables: str) -> Path:
    directory.mkdir(exist_ok=True)
    for name, text in {**TABLES, **tables}.items():
        (directory / name).write_text(text)
    return directory


def test_they_say_what_is_not_looked_up(tmp_path: Path) -> None:
    summary = check_tables(str(write(tmp_path / "tables")), str(tmp_path / "scratch"), None, TablesBeside)
    assert summary.counts == {"domains": 2, "routes": 1, "aliases": 0, "mailboxes": 0, "clients": 1, "policies": 1}


@pytest.mark.parametrize("name", ["mailboxes", "aliases"])
def test_a_table_of_what_is_looked_up_is_refused_even_if_it_is_empty(tmp_path: Path, name: str) -> None:
    directory = write(tmp_path / "tables", **{name: ""})
    with pytest.raises(ConfigInvalid, match="come from the directory, and from there alone") as refused:
        check_tables(str(directory), str(tmp_path / "scratch"), None, TablesBeside)
    assert refused.value.place == str(directory / name)


def test_one_that_comes_later_leaves_in_force_what_was(tmp_path: Path) -> None:
    files = TableFiles(str(write(tmp_path / "tables")), str(tmp_path / "out"), None, TablesBeside)
    first = files.compile()
    before = files.fingerprint()
    write(tmp_path / "tables", mailboxes="alice@example.com\n")
    assert files.fingerprint() != before
    with pytest.raises(ConfigInvalid, match="mailboxes come from the directory"):
        files.compile()
    assert Path(first).exists()


def test_a_fault_in_one_is_named_by_its_line(tmp_path: Path) -> None:
    directory = write(tmp_path / "tables", routes="example.com nowhere:x\n")
    with pytest.raises(ConfigInvalid) as refused:
        check_tables(str(directory), str(tmp_path / "scratch"), None, TablesBeside)
    assert refused.value.place == f"{directory}/routes:1"
