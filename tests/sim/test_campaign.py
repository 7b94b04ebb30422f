"""A campaign tells what it found, the same however many processes share it."""

from __future__ import annotations

import random

import pytest
from sim.campaign import Tally, main, tell_many, tell_one
from sim.checkers import Findings
from sim.cluster import World

from sim import chance


def test_the_number_of_processes_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.campaign._CHUNK", 2)
    assert tell_many(range(13, 19), processes=1) == tell_many(range(13, 19), processes=2)


def test_the_program_says_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["2", "5"]) == 0
    assert "2 stories" in capsys.readouterr().out


def broken(seed: int) -> tuple[Findings, World]:
    if seed == 6:
        raise RuntimeError("fell over")
    return Findings(lost=frozenset({("M1", 0)})), World([], random.Random(0))


def test_a_story_that_ends_badly_is_named_with_how_to_replay_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(chance, "tell", broken)
    monkeypatch.setattr("sim.campaign.tell_many", lambda seeds, processes: in_this_process(seeds))
    assert main(["2", "5"]) == 1
    said = capsys.readouterr().out
    assert "seed 5: lost: [('M1', 0)]; replay it with: python -m sim.campaign 1 5" in said
    assert "seed 6: RuntimeError: fell over" in said
    assert "2 stories with violations" in said


def in_this_process(seeds: range) -> Tally:
    tally = Tally()
    for seed in seeds:
        tally = tally.with_(tell_one(seed))
    return tally
