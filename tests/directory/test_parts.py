"""The parts of a directory: one for each site, or the whole."""

from __future__ import annotations

import pytest

from nightmail.directory.parts import Part, part_with, parts_of

SUFFIX = "dc=example,dc=org"
MAIN, DR = f"nmSite=main,{SUFFIX}", f"nmSite=dr,{SUFFIX}"


def test_a_directory_without_sites_is_one_part() -> None:
    assert parts_of(SUFFIX, ()) == (Part(SUFFIX),)


def test_each_site_has_a_part() -> None:
    assert parts_of(SUFFIX, ("main", "dr")) == (Part(DR, "dr"), Part(MAIN, "main"))


@pytest.mark.parametrize(
    ("name", "site"),
    [
        (MAIN, "main"),
        (f"uid=alice,ou=people,{MAIN}", "main"),
        ("UID=alice, OU=people, NMSITE=Main, DC=Example, DC=org", "main"),
        (f"uid=alice,ou=people,{DR}", "dr"),
    ],
)
def test_an_entry_is_in_the_part_below_whose_base_it_is(name: str, site: str) -> None:
    part = part_with(parts_of(SUFFIX, ("main", "dr")), name)
    assert part is not None
    assert part.site == site


@pytest.mark.parametrize("name", [SUFFIX, f"ou=system,{SUFFIX}", f"xnmSite=main,{SUFFIX}", f"nmSite=other,{SUFFIX}"])
def test_what_is_outside_of_all_parts_is_in_none(name: str) -> None:
    assert part_with(parts_of(SUFFIX, ("main", "dr")), name) is None
