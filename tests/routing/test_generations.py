from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.routing.table_texts import GOOD, write_tables

from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.routing import generations
from nightmail.routing.generations import check_tables, compile_tables, newest_generation, open_newest


def test_each_compilation_is_the_next_generation_and_two_are_kept(tmp_path: Path) -> None:
    tables, output = str(write_tables(tmp_path, **GOOD)), str(tmp_path / "run" / "tables")
    paths = [compile_tables(tables, output) for _ in range(4)]
    assert paths == sorted(set(paths))
    assert [os.path.join(output, name) for name in sorted(os.listdir(output))] == paths[-2:]
    assert newest_generation(output) == paths[-1]
    snapshot = open_newest(output)
    assert snapshot.path == paths[-1]
    snapshot.close()


def test_what_an_interrupted_compilation_left_is_removed(tmp_path: Path) -> None:
    tables, output = write_tables(tmp_path, **GOOD), tmp_path / "compiled"
    output.mkdir()
    (output / "tables.unfinished").write_bytes(b"torn")
    path = compile_tables(str(tables), str(output))
    assert os.listdir(output) == [os.path.basename(path)]


def test_bad_tables_leave_the_good_generation_where_it_is(tmp_path: Path) -> None:
    output = str(tmp_path / "compiled")
    path = compile_tables(str(write_tables(tmp_path, **GOOD)), output)
    with pytest.raises(ConfigInvalid):
        compile_tables(str(write_tables(tmp_path, domains="nonsense")), output)
    assert os.listdir(output) == [os.path.basename(path)]


def test_where_nothing_was_compiled_nothing_is_opened(tmp_path: Path) -> None:
    assert newest_generation(str(tmp_path / "none")) is None
    with pytest.raises(DirectoryUnavailable, match="there are no compiled tables"):
        open_newest(str(tmp_path))


def test_a_generation_that_is_replaced_while_it_is_opened_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, output = str(write_tables(tmp_path, **GOOD)), str(tmp_path / "compiled")
    answers = [os.path.join(output, "tables.00000000.lmdb"), *[compile_tables(tables, output)] * 2]
    monkeypatch.setattr(generations, "newest_generation", lambda _: answers.pop(0))
    open_newest(output).close()
    assert not answers


def test_a_newest_generation_that_is_broken_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "tables.00000001.lmdb").write_bytes(b"")
    with pytest.raises(DirectoryUnavailable):
        open_newest(str(tmp_path))


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "compiled").write_text("a file")
    with pytest.raises(ConfigInvalid) as caught:
        compile_tables(str(write_tables(tmp_path, **GOOD)), str(tmp_path / "compiled"))
    assert str(caught.value).startswith(f"{tmp_path}/compiled: the compiled tables can't be written: ")


def test_checking_says_what_there_is(tmp_path: Path) -> None:
    summary = check_tables(str(write_tables(tmp_path, **GOOD)), str(tmp_path / "scratch"))
    assert summary.counts["mailboxes"] == 2
