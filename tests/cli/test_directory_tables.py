"""export: what a directory says as tables, where they can be written, and with what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.cli.directory_rig import SOUND, Rig
from tests.directory.slapd_server import Slapd


@pytest.fixture
def rig(tmp_path: Path, run: Run) -> Iterator[Rig]:
    with Slapd(tmp_path / "master") as master, Slapd(tmp_path / "shadow", 2, master.uri) as shadow:
        made = Rig(tmp_path, master, shadow, run)
        made.fill(SOUND)
        yield made


def test_where_tables_can_not_be_written_is_said_with_the_reason(rig: Rig) -> None:
    file = rig.place / "file"
    file.write_text("")
    full = rig.place / "full"
    full.mkdir()
    (full / "domains").write_text("")
    for place, reason in (
        (file, "it can't be written: File exists"),
        (file / "below", "it can't be written: Not a directory"),
        (rig.place / ("n" * 300), "it can't be written: File name too long"),
        (full, "there is something in it; name a directory that is empty or new"),
    ):
        refused = rig.directory("export", str(place))
        assert (refused.exit_code, refused.out) == (os.EX_DATAERR, "")
        assert f"{place}: {reason}" in refused.err
        assert len(refused.err.splitlines()) == 1
