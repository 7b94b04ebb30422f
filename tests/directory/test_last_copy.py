"""The last copy of a directory is read as it was written, also as earlier releases wrote it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from nightmail.directory.last_copy import LastCopy, PartCopy, read_copy, write_copy
from nightmail.directory.tree import item_of

SUFFIX = "dc=example,dc=org"
ORG = item_of("domains", "example.org", "relay", SUFFIX)
NET = item_of("domains", "example.net", "relay", SUFFIX)
PARTS = {"nmSite=dr," + SUFFIX: PartCopy("csn=1", {"a": ORG}), "nmSite=main," + SUFFIX: PartCopy("csn=2", {"b": NET})}


def test_what_was_written_is_read_part_by_part(tmp_path: Path) -> None:
    path = str(tmp_path / "copy")
    copy = LastCopy(suffix=SUFFIX, parts=PARTS, in_force={ORG.dn: ORG})
    write_copy(path, copy)
    assert read_copy(path, SUFFIX) == copy
    assert copy.items == [ORG, NET]
    assert read_copy(path, "dc=example,dc=net") is None


def test_a_copy_from_before_there_were_sites_is_of_the_one_part_that_there_was(tmp_path: Path) -> None:
    before = {"suffix": SUFFIX, "cookie": "csn=1", "content": {"a": ORG}, "in_force": {ORG.dn: ORG}, "format": 1}
    (tmp_path / "copy").write_bytes(msgspec.msgpack.encode(before))
    whole = {SUFFIX: PartCopy("", {"a": ORG})}
    assert read_copy(str(tmp_path / "copy"), SUFFIX) == LastCopy(suffix=SUFFIX, parts=whole, in_force={ORG.dn: ORG})


def test_after_a_copy_from_before_there_were_policies_everything_is_asked_for_anew(tmp_path: Path) -> None:
    path = str(tmp_path / "copy")
    write_copy(path, LastCopy(suffix=SUFFIX, parts=PARTS, in_force={ORG.dn: ORG}, format=2))
    copy = read_copy(path, SUFFIX)
    assert copy is not None
    assert [(part.cookie, part.content) for part in copy.parts.values()] == [("", {"a": ORG}), ("", {"b": NET})]
    assert copy.in_force == {ORG.dn: ORG}


def test_what_is_no_copy_or_that_of_a_later_release_is_none(tmp_path: Path) -> None:
    path = tmp_path / "copy"
    assert read_copy(str(path), SUFFIX) is None
    write_copy(str(path), LastCopy(suffix=SUFFIX, parts=PARTS, format=4))
    assert read_copy(str(path), SUFFIX) is None
    path.write_bytes(path.read_bytes()[:-1])
    assert read_copy(str(path), SUFFIX) is None
