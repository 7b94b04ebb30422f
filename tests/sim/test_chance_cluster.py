"""Stories of a whole cluster that chance tells: nothing is lost in any, and what comes twice is on record."""

from __future__ import annotations

import pytest
from sim.checkers import NOTHING, hasty
from tests.conftest import Campaign

from sim import chance


def test_whatever_happens_to_a_cluster_nothing_is_lost(campaign: Campaign) -> None:
    acknowledged = adoptions = 0
    for seed in range(campaign(20, 1_000)):
        findings, world = chance.tell(seed)
        assert findings == NOTHING, f"seed {seed} replays this"
        assert not hasty(world.archive), f"seed {seed} replays this"
        acknowledged += len(world.ledger.acknowledged)
        adoptions += len(world.adoptions)
    assert acknowledged > 300
    assert adoptions > 15


def test_a_seed_tells_the_same_story_again() -> None:
    (_, first), (_, second) = chance.tell(3), chance.tell(3)
    assert first.ledger == second.ledger
    assert first.archive.landed == second.archive.landed
    assert first.adoptions == second.adoptions


def test_the_program_says_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert chance.main(["2", "5"]) == 0
    assert "2 stories" in capsys.readouterr().out
