from __future__ import annotations

from pathlib import Path

import pytest
from tests.routing.table_texts import GOOD, write_tables

from nightmail.errors import ConfigInvalid
from nightmail.routing.generations import newest_generation
from nightmail.routing.source import NAMES
from nightmail.routing.table_files import TableFiles


def files_in(directory: Path, **texts: str) -> TableFiles:
    return TableFiles(str(write_tables(directory, **texts)), str(directory / "compiled"))


@pytest.mark.parametrize("name", NAMES)
def test_a_change_of_any_file_changes_the_fingerprint(tmp_path: Path, name: str) -> None:
    files = files_in(tmp_path, **GOOD)
    prints = [files.fingerprint(), files.fingerprint()]
    write_tables(tmp_path, **{name: GOOD[name] + "# more\n"})
    prints.append(files.fingerprint())
    (tmp_path / "tables" / name).unlink()
    prints.append(files.fingerprint())
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_a_file_replaced_by_one_of_the_same_size_and_time_changes_the_fingerprint(tmp_path: Path) -> None:
    files = files_in(tmp_path, **GOOD)
    before = files.fingerprint()
    table = tmp_path / "tables" / "mailboxes"
    (tmp_path / "other").write_text(table.read_text())
    (tmp_path / "other").replace(table)
    assert files.fingerprint() != before


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_disappears_keeps_the_tables_as_they_were(tmp_path: Path, name: str) -> None:
    files = files_in(tmp_path, **GOOD)
    path = files.compile()
    (tmp_path / "tables" / name).unlink()
    for _ in range(2):
        with pytest.raises(ConfigInvalid) as caught:
            files.compile()
        assert str(caught.value) == (
            f"{tmp_path}/tables/{name}: the file has disappeared; put it back; an empty file has no entries"
        )
    assert newest_generation(str(tmp_path / "compiled")) == path
    write_tables(tmp_path, **GOOD)
    assert files.compile() > path


def test_a_directory_that_disappears_keeps_the_tables_as_they_were(tmp_path: Path) -> None:
    files = files_in(tmp_path, **GOOD)
    files.compile()
    (tmp_path / "tables").rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigInvalid, match="the file has disappeared"):
        files.compile()


def test_an_emptied_file_has_no_entries(tmp_path: Path) -> None:
    files = files_in(tmp_path, **GOOD)
    first = files.compile()
    write_tables(tmp_path, clients="", aliases="")
    assert files.compile() != first


def test_a_file_that_was_never_there_may_come(tmp_path: Path) -> None:
    files = files_in(tmp_path, domains=GOOD["domains"], routes=GOOD["routes"])
    files.compile()
    write_tables(tmp_path, mailboxes=GOOD["mailboxes"])
    files.compile()
    (tmp_path / "tables" / "mailboxes").unlink()
    with pytest.raises(ConfigInvalid):
        files.compile()


def test_a_bad_line_keeps_the_tables_as_they_were(tmp_path: Path) -> None:
    files = files_in(tmp_path, **GOOD)
    path = files.compile()
    write_tables(tmp_path, mailboxes="alice")
    with pytest.raises(ConfigInvalid, match="mailboxes:1: 'alice' is not an address"):
        files.compile()
    assert newest_generation(str(tmp_path / "compiled")) == path
