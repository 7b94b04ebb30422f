"""J12: the time of day decides when to retry and what headers say, never who owns a queue. Shown by lint."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "src" / "nightmail"
DECIDES_OWNERSHIP = [
    *sorted((SOURCE / "journal").glob("*.py")),
    SOURCE / "switch" / "generations.py",
    SOURCE / "switch" / "liveness.py",
]


def uses_of_wall(text: str) -> list[int]:
    """The lines that ask for the time of day."""
    return [
        node.lineno for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute) and node.attr == "wall"
    ]


@pytest.mark.parametrize("file", DECIDES_OWNERSHIP, ids=lambda file: str(file.relative_to(SOURCE)))
def test_who_decides_about_ownership_never_asks_for_the_time_of_day(file: Path) -> None:
    assert not uses_of_wall(file.read_text(encoding="utf-8"))


def test_the_look_at_the_source_sees_what_it_looks_for() -> None:
    assert uses_of_wall("def f(clock):\n    return clock.wall()\n") == [2]
    assert uses_of_wall((SOURCE / "switch" / "owned.py").read_text(encoding="utf-8"))


def test_the_machines_clocks_and_chance_are_banned_outside_the_front_door() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert "TID" in lint["select"]
    assert {
        "time.time", "time.monotonic", "time.perf_counter", "time.clock_gettime", "datetime.datetime.now",
        "random.random", "os.urandom", "uuid.uuid4",
    } <= set(lint["flake8-tidy-imports"]["banned-api"])  # fmt: skip
    excepted = [place for place, codes in lint["per-file-ignores"].items() if "TID251" in codes]
    assert [place for place in excepted if place.startswith("src")] == ["src/nightmail/world.py"]
