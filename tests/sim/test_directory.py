"""Whatever happens to the directory's servers, no write that was acknowledged is lost, and writes are taken again."""

from __future__ import annotations

import pytest
from sim.directory_story import tell
from sim.loop import run
from tests.conftest import Campaign

SEEDS = 40
PROVE_SEEDS = 2_000


def test_no_story_loses_a_write_or_brings_one_back(campaign: Campaign) -> None:
    taken = 0
    for seed in range(campaign(SEEDS, PROVE_SEEDS)):
        told = run(tell(seed))
        assert told.violations == [], f"seed {seed}"
        taken += told.outcomes["acknowledged"]
    assert taken > 200 * SEEDS


@pytest.mark.parametrize("seed", [3, 17])
def test_a_seed_tells_the_same_story_again(seed: int) -> None:
    assert run(tell(seed)) == run(tell(seed))
