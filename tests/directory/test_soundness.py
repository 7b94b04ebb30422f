"""Of a replica with several databases, the one that is damaged is found, and only that one begins anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.directory.sites import Sites, person
from tests.supervisor.test_damaged_replica import all_but_the_head_zeroed, cut, head_overwritten, indexes_overwritten

from nightmail.directory.slapd import is_damaged, note_damage_of
from nightmail.directory.soundness import is_sound
from nightmail.errors import ConfigInvalid

DAMAGES = [head_overwritten, all_but_the_head_zeroed, cut, indexes_overwritten]


@pytest.mark.parametrize("damaged", DAMAGES)
def test_the_damaged_part_is_named_and_the_others_are_kept(tmp_path: Path, damaged: Callable[[bytes], bytes]) -> None:
    sites = Sites(tmp_path)
    for site in ("main", "dr"):
        sites.mx2.begin(site, *(person(site, number) for number in range(100)))
    main, dr = sites.mx2.of("main"), sites.mx2.of("dr")
    assert is_sound(main.path)
    file = Path(main.path, "data.mdb")
    with file.open("rb") as opened:
        data = opened.read(file.stat().st_blocks * 512)
    file.write_bytes(damaged(data))
    note_damage_of(sites.mx2.replica, "slapd's words")
    assert (is_damaged(main), is_damaged(dr)) == (True, False)
    with pytest.raises(ConfigInvalid, match=r"damaged: slapd's words; .*`nightmail directory reseed --site main`"):
        sites.mx2.prepared()


def test_where_no_database_is_found_damaged_all_are_taken_to_be(tmp_path: Path) -> None:
    sites = Sites(tmp_path)
    for site in ("main", "dr"):
        sites.mx2.begin(site)
    note_damage_of(sites.mx2.replica, "slapd's words")
    assert all(map(is_damaged, sites.mx2.replica.databases))
