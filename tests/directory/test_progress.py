"""Who is behind is told by what the master has, and by what others have only while the master is away."""

from __future__ import annotations

from nightmail.directory.progress import Progress
from nightmail.directory.sessions import Access

OLD, NEW, NEWER = (f"2026010100000{number}.000000Z#000000#001#000000" for number in range(3))
MASTER, SHADOW, OTHER = (f"ldap://{name}" for name in ("master", "shadow", "other"))


def behind(*looks: tuple[float, dict[str, str]]) -> set[str]:
    """Who is behind after these looks, each at its time."""
    replicas = [MASTER, SHADOW, OTHER]
    progress = Progress("dc=example", replicas, lambda: MASTER, Access(), lag_limit_s=5.0)
    for now, states in looks:
        progress.note(states, now)
    return {uri for uri in replicas if progress.is_behind(uri, looks[-1][0])}


def test_a_shadow_that_lacks_what_the_master_has_is_behind_after_a_while() -> None:
    both = {MASTER: NEW, SHADOW: OLD}
    assert behind((0, both), (5, both)) == set()
    assert behind((0, both), (6, both)) == {SHADOW}
    assert behind((0, both), (6, {MASTER: NEWER, SHADOW: NEW})) == set()


def test_a_master_that_was_restored_is_not_behind_and_neither_is_a_shadow_that_was_not() -> None:
    restored = {MASTER: OLD, SHADOW: NEW}
    assert behind((0, restored), (60, restored)) == set()


def test_while_the_master_is_away_shadows_are_compared_and_nobody_lacks_what_nobody_has() -> None:
    shadows = {SHADOW: OLD, OTHER: NEW}
    assert behind((0, shadows), (6, shadows)) == {SHADOW}
    assert behind((0, {MASTER: NEW, SHADOW: OLD}), (1, {SHADOW: OLD}), (60, {SHADOW: OLD})) == set()
    assert behind((0, {MASTER: NEW, SHADOW: OLD}), (6, {MASTER: NEW, SHADOW: OLD}), (7, {SHADOW: OLD})) == set()
