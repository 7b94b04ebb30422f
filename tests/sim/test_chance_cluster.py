"""Stories of a whole cluster that chance tells: nothing is lost in any, and what comes twice is on record."""

from __future__ import annotations

import os
import subprocess
import sys

from sim.campaign import tell_many
from tests.conftest import Campaign

from sim import chance


def test_whatever_happens_to_a_cluster_every_promise_is_kept(campaign: Campaign) -> None:
    tally = tell_many(range(campaign(200, 2_000)), processes=2)
    assert tally.failures == (), "python -m sim.campaign 1 SEED replays one"
    assert tally.acknowledged > 4_000
    assert tally.adoptions > 200
    assert tally.ambiguous > 0
    assert tally.repeated > 0


def test_a_seed_tells_the_same_story_again() -> None:
    assert chance.trace(3) == chance.trace(3)
    assert chance.trace(3) != chance.trace(4)


def test_it_does_so_in_other_processes_whatever_order_their_sets_have() -> None:
    program = "from sim import chance; print(*map(chance.trace, (8, 14)))"
    traces = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": "."},
            capture_output=True, text=True, check=True,
        ).stdout.split("\n")[-2]
        for hash_seed in ("0", "1", "4711")
    }  # fmt: skip
    assert traces == {f"{chance.trace(8)} {chance.trace(14)}"}
