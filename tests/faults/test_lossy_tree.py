"""The tree that loses its power: what it keeps, what it may lose, and that a failed sync is never made good."""

from __future__ import annotations

import pytest
from tests.faults.lossy_tree import BLOCK_BYTES, File, LossyTree


def tree_with(path: str, content: bytes, *, seed: int = 1) -> tuple[LossyTree, File]:
    tree = LossyTree(seed)
    file = tree.make_file(path)
    file.write(content, 0)
    return tree, file


def content_of(tree: LossyTree, path: str) -> bytes | None:
    try:
        node = tree.find(path)
    except FileNotFoundError:
        return None
    assert isinstance(node, File)
    return bytes(node.content)


@pytest.mark.parametrize(
    ("synced_file", "synced_name", "kept"),
    [(True, True, b"content"), (False, True, b""), (True, False, None), (False, False, None)],
)
def test_a_strict_crash_keeps_exactly_what_was_synced(synced_file: bool, synced_name: bool, kept: bytes | None) -> None:
    tree, file = tree_with("/a", b"content")
    if synced_file:
        file.sync()
    if synced_name:
        tree.root.sync()
    tree.crash(strict=True)
    assert content_of(tree, "/a") == kept


def test_a_random_crash_gives_every_outcome_that_posix_allows() -> None:
    old, new, zero = b"o" * BLOCK_BYTES, b"n" * BLOCK_BYTES, bytes(BLOCK_BYTES)
    outcomes = set()
    for seed in range(300):
        tree, file = tree_with("/a", old, seed=seed)
        file.sync()
        file.write(new + new, 0)
        tree.crash(strict=False)
        outcomes.add(content_of(tree, "/a"))
    assert outcomes == {None, old, new, old + zero, old + new, new + zero, new + new}


def test_what_was_synced_survives_any_crash() -> None:
    for seed in range(50):
        tree, file = tree_with("/a", b"x" * 3 * BLOCK_BYTES, seed=seed)
        file.sync()
        tree.root.sync()
        tree.make_file("/b")
        tree.crash(strict=False)
        assert content_of(tree, "/a") == b"x" * 3 * BLOCK_BYTES


def test_a_sync_after_a_failed_one_succeeds_and_makes_nothing_durable() -> None:
    tree, file = tree_with("/a", b"content")
    tree.root.sync()
    file.fail_sync()
    file.sync()
    assert content_of(tree, "/a") == b"content"
    tree.crash(strict=True)
    assert content_of(tree, "/a") == bytes(len(b"content"))


def test_a_folder_is_lost_with_all_that_is_in_it_if_its_own_name_was_not_synced() -> None:
    tree = LossyTree(1)
    tree.make_folder("/d")
    tree.make_file("/d/a").sync()
    folder = tree.find("/d")
    folder.sync()
    tree.crash(strict=True)
    assert content_of(tree, "/d/a") is None


def test_links_are_counted_also_after_a_crash() -> None:
    tree, file = tree_with("/a", b"content")
    tree.root.sync()
    tree.link("/a", "/b")
    assert file.links == 2
    tree.crash(strict=True)
    assert file.links == 1
    tree.link("/a", "/c")
    tree.unlink("/a")
    assert file.links == 1
    assert content_of(tree, "/c") is not None


def test_a_name_is_given_only_once() -> None:
    tree, _ = tree_with("/a", b"")
    tree.make_file("/b")
    with pytest.raises(FileExistsError):
        tree.link("/a", "/b")
