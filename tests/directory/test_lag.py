"""A replica is behind by how long it lacks a change that another one has, and by nothing else."""

from __future__ import annotations

from nightmail.directory.lag import Lag

FIRST, SECOND, THIRD = "20261126180000.000001Z#1", "20261126180500.000001Z#1", "20261126180501.000001Z#1"


def test_whoever_has_the_newest_is_not_behind_however_old_that_is() -> None:
    lag = Lag(5.0)
    lag.note(FIRST, FIRST, 0.0)
    lag.note(FIRST, FIRST, 1_000.0)
    assert not lag.is_over_limit(2_000.0)


def test_it_is_behind_once_it_lacked_a_change_for_too_long() -> None:
    lag = Lag(5.0)
    lag.note(FIRST, SECOND, 10.0)
    assert not lag.is_over_limit(15.0)
    lag.note(FIRST, THIRD, 14.0)
    assert lag.is_over_limit(15.1)


def test_who_comes_on_while_others_do_too_is_not_behind() -> None:
    lag = Lag(5.0)
    lag.note(FIRST, SECOND, 10.0)
    lag.note(SECOND, THIRD, 14.0)
    assert not lag.is_over_limit(18.0)
    assert lag.is_over_limit(19.1)
    lag.note(THIRD, THIRD, 20.0)
    assert not lag.is_over_limit(100.0)
