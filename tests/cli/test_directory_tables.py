"""export: what a directory says as tables, where they can be written, and with what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.cli.directory_rig import Rig, line, sound_directory


@pytest.fixture
def rig(tmp_path: Path, run: Run) -> Iterator[Rig]:
    with sound_directory(tmp_path, run) as made:
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


def test_what_an_import_would_refuse_of_an_export_is_named(rig: Rig) -> None:
    sound = rig.directory("export", str(rig.place / "sound"))
    assert (sound.exit_code, sound.out) == (0, f"3 lines written to {rig.place / 'sound'}\n")
    assert rig.directory("import", str(rig.place / "sound")).exit_code == 0
    dead = line("aliases", "dead@example.org", "nobody@example.org")
    partly = [line("aliases", f"list{n:02}@example.org", f"alice@example.org, gone{n}@example.org") for n in range(12)]
    rig.fill([dead, *partly])
    done = rig.directory("export", str(rig.place / "out"))
    assert (done.exit_code, done.err) == (0, "")
    said = done.out.splitlines()
    assert said[0] == f"16 lines written to {rig.place / 'out'}"
    assert any(each.startswith(f"\u2717 {dead.dn}: the alias dead@example.org leads to nobody") for each in said)
    assert f"! {partly[0].dn}: gone0@example.org is neither a mailbox nor an alias; add it, or mend the name" in said
    assert len(said) == 1 + 10 + 1
    assert said[-1] == "! and 3 more"
    assert rig.directory("import", str(rig.place / "out")).exit_code == os.EX_DATAERR
