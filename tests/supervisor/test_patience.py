"""A switch that died is started again soon, then later and later."""

from __future__ import annotations

from nightmail.supervisor.patience import RestartPatience


def test_deaths_in_a_row_are_met_with_growing_but_bounded_patience() -> None:
    patience = RestartPatience()
    assert [patience.after_death(0.5) for _ in range(9)] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0]


def test_a_good_life_is_not_forgotten() -> None:
    patience = RestartPatience()
    for _ in range(5):
        patience.after_death(0.5)
    assert patience.after_death(5.0) == 0.0
