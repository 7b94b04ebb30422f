"""What a replica was told of the masters, as it says it in its root DSE, is held against what our own file names."""

from __future__ import annotations

from collections.abc import Mapping

from tests.directory.slapd_server import SUFFIX

from nightmail.directory.parts import Part, parts_of
from nightmail.directory.told_masters import SAYS, Told, contradiction, root_entry, takes_writes, told_in

DR, MAIN = parts_of("DC=Example,dc=org", ("main", "dr"))
WHOLE = Part(SUFFIX)
OURS = {DR: "mx3", MAIN: "mx1"}


def told(**masters: str) -> Told:
    """What one says whose file names these masters, and has the suffix by another spelling."""
    parts = parts_of(SUFFIX, masters)
    return told_in(root_entry({part: masters[part.site] for part in parts}).attributes[SAYS])


def words_about(masters: Mapping[Part, str], told: Told) -> str:
    """What is said of a contradiction, empty where there is none."""
    return str(contradiction(masters, told) or "")


def test_who_was_told_the_same_contradicts_nobody() -> None:
    assert words_about(OURS, told(main="mx1", dr="mx3")) == ""


def test_each_part_is_named_with_both_masters_and_the_line_to_correct() -> None:
    words = words_about(OURS, told(main="mx3", dr="mx4"))
    assert "mx4 as the master of the site dr, ours names mx3" in words
    assert "mx3 as the master of the site main, ours names mx1" in words
    assert "[directory] masters" in words


def test_of_a_directory_without_parts_it_is_the_first_master() -> None:
    words = words_about({WHOLE: "mx1"}, told_in(root_entry({WHOLE: "mx2"}).attributes[SAYS]))
    assert f"mx2 as the master of {SUFFIX}, ours names mx1" in words
    assert "[directory] first_master" in words


def test_who_says_nothing_or_something_else_contradicts_nobody() -> None:
    assert words_about(OURS, told_in([])) == ""
    assert words_about(OURS, told_in(["a directory"])) == ""


def test_a_part_that_only_one_of_two_files_has_contradicts_the_other() -> None:
    more = told(main="mx1", dr="mx3", far="mx9")
    assert f"mx9 as the master of nmsite=far,{SUFFIX}, ours names nobody" in words_about(OURS, more)
    assert "nobody as the master of the site dr, ours names mx3" in words_about(OURS, told(main="mx1"))


def test_a_directory_with_sites_contradicts_one_without() -> None:
    whole = told_in(root_entry({WHOLE: "mx1"}).attributes[SAYS])
    assert "[directory] topology" in words_about(OURS, whole)
    assert "[directory] topology" in words_about({WHOLE: "mx1"}, told(main="mx1", dr="mx3"))
    assert takes_writes("mx1", MAIN, whole)
    assert takes_writes("mx3", WHOLE, told(main="mx1", dr="mx3"))


def test_who_takes_writes_to_another_part_takes_none_to_this_one() -> None:
    assert takes_writes("mx1", MAIN, told(main="mx1", dr="mx3"))
    assert not takes_writes("mx3", MAIN, told(main="mx1", dr="mx3"))
    assert not takes_writes("mx1", Part(f"nmSite=in,{SUFFIX}"), told(main="mx1"))
