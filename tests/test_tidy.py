"""The source stays as readable as it is: what this test asks for may only be tightened."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nightmail.config import reference

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "nightmail"

MODULE_LINES = 500
FUNCTION_LINES = 60
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
PURE = (
    "mail",
    "smtp",
    "queue",
    "journal.keys",
    "journal.records",
    "journal.replay",
    "journal.segment",
    "journal.state",
    "routing.resolution",
    "routing.snapshot",
)
ABOUT_THE_DIRECTORY = re.compile(r"\b(?:directory|entry|policies)\b")
LEVELS = {"info", "warning", "error", "exception"}
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
EXCEPTION_TO_LINT = re.compile(
    r"#\s*(?:noqa(?!\w)(?P<codes>:[ A-Z0-9,]*)?|type:\s*ignore(?:\[[\w\-, ]*\])?)(?P<reason>.*)"
)
PLACES_OF_ONE_MACHINE = re.compile(r"(?<![\w.])/(?:work|root|home)/\w|/tmp/(?!\{)\w")


def python_files(*trees: str) -> list[Path]:
    return sorted(file for tree in trees for file in (ROOT / tree).rglob("*.py"))


SHIPPED = python_files("src")
EVERY = python_files("src", "sim", "models", "bench", "tests", "scripts", "docs")


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), name(file))


each_shipped_file = pytest.mark.parametrize("file", SHIPPED, ids=name)
each_file = pytest.mark.parametrize("file", EVERY, ids=name)


@each_file
def test_a_module_is_one_idea(file: Path) -> None:
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= MODULE_LINES, f"{lines} lines: which of its ideas deserves a module of its own?"


@each_file
def test_a_function_is_one_thought(file: Path) -> None:
    functions = [node for node in ast.walk(tree_of(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    too_long = [f"{node.name} (line {node.lineno})" for node in functions if lines_of(node) > FUNCTION_LINES]
    assert not too_long, f"over {FUNCTION_LINES} lines: {', '.join(too_long)}"


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


@each_shipped_file
def test_a_module_has_a_name_that_says_something(file: Path) -> None:
    words = {word for part in file.relative_to(PACKAGE.parent).with_suffix("").parts for word in part.split("_")}
    assert not words & NAMES_THAT_SAY_NOTHING


@pytest.mark.parametrize("room", [file for file in SHIPPED if file.name == "__init__.py"], ids=name)
def test_a_room_opens_with_one_sentence_on_what_it_owns(room: Path) -> None:
    first_paragraph = (ast.get_docstring(tree_of(room)) or "").split("\n\n")[0]
    sentence = " ".join(first_paragraph.split())
    assert sentence.endswith("."), f"begins with {sentence!r}"
    assert ". " not in sentence, "one sentence"


@each_shipped_file
def test_an_invariant_raises_also_under_dash_o(file: Path) -> None:
    asserts = [node.lineno for node in ast.walk(tree_of(file)) if isinstance(node, ast.Assert)]
    assert not asserts, f"assert vanishes under -O: raise instead, lines {asserts}"


@each_shipped_file
def test_no_unknown_error_is_swallowed(file: Path) -> None:
    swallowed = [
        node.lineno
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.ExceptHandler | ast.Call) and swallows_anything(node)
    ]
    assert not swallowed, f"an error that nobody hears of, lines {swallowed}"


def swallows_anything(node: ast.ExceptHandler | ast.Call) -> bool:
    too_wide = {"Exception", "BaseException", "SwitchError", "Fenced"}
    if isinstance(node, ast.ExceptHandler):
        caught = {"BaseException"} if node.type is None else names_in(node.type)
        return does_nothing(node.body) and bool(caught & too_wide)
    suppressed = set().union(*map(names_in, node.args)) if "suppress" in names_in(node.func) else set()
    return bool(suppressed & too_wide)


def does_nothing(body: list[ast.stmt]) -> bool:
    return all(
        isinstance(statement, ast.Pass | ast.Continue)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in body
    )


def names_in(node: ast.AST) -> set[str]:
    plain = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return plain | {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}


@each_shipped_file
def test_nothing_is_left_for_later_in_a_comment(file: Path) -> None:
    assert not UNFINISHED.findall(file.read_text(encoding="utf-8"))


@each_shipped_file
def test_a_room_keeps_to_what_others_show(file: Path) -> None:
    private = [
        f"{node.module}.{alias.name} (line {node.lineno})"
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nightmail")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    assert not private, f"private to another module: {', '.join(private)}"


@each_shipped_file
def test_an_exception_from_the_rules_gives_its_reason(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    unexplained = []
    for number, line in enumerate(lines):
        exception = EXCEPTION_TO_LINT.search(line)
        above = lines[number - 1].strip() if number else ""
        if exception and not above.startswith("#") and len(exception["reason"].split()) < 2:
            unexplained.append(number + 1)
    assert not unexplained, f"say why, on the line or above it: lines {unexplained}"


@pytest.mark.parametrize(
    "file",
    [
        *EVERY,
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "examples").rglob("*")),
    ],
    ids=name,
)
def test_nothing_names_a_place_of_the_machine_it_was_written_on(file: Path) -> None:
    if file.is_file() and file != Path(__file__):
        assert not PLACES_OF_ONE_MACHINE.findall(file.read_text(encoding="utf-8"))


def test_every_pure_part_is_under_the_purity_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    promised = {
        module for contract in contracts if contract["type"] == "forbidden" for module in contract["source_modules"]
    }
    present = {f"nightmail.{part}" for part in PURE if is_present(part)}
    assert present <= promised


def is_present(part: str) -> bool:
    path = PACKAGE.joinpath(*part.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_the_reference_of_the_settings_is_what_the_code_reads() -> None:
    written = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert written == reference.render(), "run `make docs`"


@pytest.mark.parametrize(
    "line", ["import time; now = time.time()", "from time import monotonic", "import random; n = random.random()"]
)
def test_j12_by_lint_time_and_chance_come_in_by_the_front_door(line: str) -> None:
    linted = lint(line, "src/nightmail/journal/writer.py")
    assert "TID251" in linted
    assert "TID251" not in lint(line, "src/nightmail/world.py")


def test_by_lint_a_deadline_swallows_no_cancellation() -> None:
    assert "TID251" in lint("import asyncio; x = asyncio.wait_for(y, 1)", "src/nightmail/switch/generations.py")
    assert "TID251" not in lint("import asyncio; x = asyncio.timeout(1)", "src/nightmail/switch/generations.py")


def lint(source: str, as_file: str) -> str:
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--no-cache",
        "--select",
        "TID251",
        "--stdin-filename",
        as_file,
        "-",
    ]
    return subprocess.run(command, cwd=ROOT, input=source, capture_output=True, text=True, check=False).stdout


def test_the_tests_run_on_the_sources_and_not_on_what_was_once_compiled_of_them() -> None:
    assert [name(file) for file in PACKAGE.rglob("*.so")] == [], "run `make clean`"


def compiled_files() -> list[Path]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [ROOT / path for path in settings["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]["include"]]


def classes_in(file: Path) -> list[ast.ClassDef]:
    return [node for node in ast.walk(tree_of(file)) if isinstance(node, ast.ClassDef)]


def test_what_is_compiled_keeps_its_tables_beside_its_classes() -> None:
    for file in compiled_files():
        for found in classes_in(file):
            assert not [each for each in found.body if isinstance(getattr(each, "value", None), ast.Dict)], name(file)


def test_no_class_that_is_compiled_is_the_base_of_one_that_is_not() -> None:
    compiled = {found.name for file in compiled_files() for found in classes_in(file)}
    for file in set(SHIPPED) - set(compiled_files()):
        for found in classes_in(file):
            bases = {base.id for base in found.bases if isinstance(base, ast.Name)}
            assert not bases & compiled - {"Protocol", "Generic"}, f"{name(file)}: {found.name}"


def events_of(file: Path) -> set[str]:
    """What a file logs, as far as its words stand there."""
    calls = (node for node in ast.walk(tree_of(file)) if isinstance(node, ast.Call) and node.args)
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr in LEVELS
        if isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
    }


def test_what_is_logged_about_the_directory_is_on_a_page() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "operate").glob("*.md"))
    logged = {event for file in SHIPPED for event in events_of(file) if ABOUT_THE_DIRECTORY.search(event)}
    assert "directory replica filled" in logged
    unsaid = {event for event in logged if f"`{event}`" not in pages}
    assert unsaid == {"drop directory not read"}, "of another directory, and of no other"
