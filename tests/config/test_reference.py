from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from nightmail.config.expecting import settings_of
from nightmail.config.parsing import CLASSES, HEADERS
from nightmail.config.reference import render


def test_every_setting_stands_in_the_reference_with_a_description() -> None:
    page = render()
    for table, cls in CLASSES.items():
        assert f"\n## {HEADERS[table]}\n" in page
        for name, setting in settings_of(cls).items():
            assert f"| `{name}` | {setting.expected}" in page
            assert setting.description.endswith("."), f"[{table}] {name} is not described in a sentence"


def test_settings_in_a_table_of_their_own_stand_there_too() -> None:
    page = render()
    assert "\n## [directory.mapping]\n" in page
    assert "| `people_filter` | text in quotes |" in page


def test_defaults_are_written_as_toml_would_have_them() -> None:
    page = render()
    assert "| `retry_first_s` | a number above 0, in seconds | `300` |" in page
    assert '| `service` | one of smtp, submission, lmtp | `"smtp"` |' in page
    assert "| `url` | text in quotes, not empty | required |" in page
    assert "| `proxy_from` | a list, each entry text in quotes |  |" in page


def test_the_documentation_build_writes_it_by_one_command(tmp_path: Path) -> None:
    directory = tmp_path / "reference"
    subprocess.run([sys.executable, "-m", "nightmail.config.reference", str(directory)], check=True)
    assert (directory / "settings.md").read_text() == render()
