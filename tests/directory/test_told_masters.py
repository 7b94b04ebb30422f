"""What a replica was told of the masters, as it says it in its root DSE, is held against what our own file names."""

from __future__ import annotations

from tests.directory.slapd_server import SUFFIX

from nightmail.directory.parts import Part, parts_of
from nightmail.directory.told_masters import SAYS, Told, contradiction, root_entry, told_in

DR, MAIN = parts_of("DC=Example,dc=org", ("main", "dr"))
OURS = {DR: "mx3", MAIN: "mx1"}


def told(**masters: str) -> Told:
    """What one says whose file names these masters, and has the suffix by another spelling."""
    parts = parts_of(SUFFIX, masters)
    return told_in(root_entry({part: masters[part.site] for part in parts}).attributes[SAYS])


def test_who_was_told_the_same_contradicts_nobody() -> None:
    assert contradiction(OURS, told(main="mx1", dr="mx3")) == ""


def test_each_part_is_named_with_both_masters_and_the_line_to_correct() -> None:
    words = contradiction(OURS, told(main="mx3", dr="mx4"))
    assert "mx4 as the master of the site dr, ours names mx3" in words
    assert "mx3 as the master of the site main, ours names mx1" in words
    assert "[directory] masters" in words


def test_of_a_directory_without_parts_it_is_the_first_master() -> None:
    whole = Part(SUFFIX)
    words = contradiction({whole: "mx1"}, told_in(root_entry({whole: "mx2"}).attributes[SAYS]))
    assert f"mx2 as the master of {SUFFIX}, ours names mx1" in words
    assert "[directory] first_master" in words


def test_who_says_nothing_or_something_else_contradicts_nobody() -> None:
    assert contradiction(OURS, told_in([])) == ""
    assert contradiction(OURS, told_in(["a directory", f"mx9 takes writes to nmSite=far,{SUFFIX}"])) == ""
