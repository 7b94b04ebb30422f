"""A replica is behind by how long it lacks a change that another one has, and by nothing else."""

from __future__ import annotations

from nightmail.directory.lag import Lag, newest_of

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


def test_who_came_back_is_behind_at_once_until_it_has_what_others_had_then() -> None:
    lag = Lag(5.0)
    lag.begin(is_itself=True)
    lag.note(FIRST, SECOND, 10.0)
    assert lag.is_over_limit(10.0)
    lag.note(FIRST, THIRD, 60.0)
    assert lag.is_over_limit(60.0)
    lag.note(SECOND, THIRD, 60.5)
    assert not lag.is_over_limit(60.5)
    assert lag.is_over_limit(65.6)


def test_whoever_lacks_what_one_has_that_came_is_behind_at_once() -> None:
    lag = Lag(5.0)
    lag.note(FIRST, FIRST, 1_000.0)
    lag.begin(is_itself=False)
    lag.note(FIRST, SECOND, 1_000.1)
    assert lag.is_over_limit(1_000.1)


def test_what_is_written_after_somebody_came_may_be_lacked_as_at_any_time() -> None:
    lag = Lag(5.0)
    lag.begin(is_itself=True)
    lag.note(FIRST, FIRST, 10.0)
    lag.note(FIRST, SECOND, 10.1)
    assert not lag.is_over_limit(15.0)


def test_who_came_back_is_not_behind_once_nobody_has_more() -> None:
    lag = Lag(5.0)
    lag.begin(is_itself=True)
    lag.note(FIRST, SECOND, 10.0)
    lag.note(FIRST, FIRST, 11.0)
    assert not lag.is_over_limit(11.0)


def test_of_those_that_came_back_together_one_is_not_behind() -> None:
    states = {"a": FIRST, "b": SECOND, "c": THIRD}
    lags = {name: Lag(5.0) for name in states}
    for name, lag in lags.items():
        lag.begin(is_itself=True)
        lag.note(states[name], newest_of(states, ""), 0.0)
    assert [name for name, lag in lags.items() if not lag.is_over_limit(0.0)] == ["c"]


def test_who_came_while_the_judge_was_away_is_behind_until_it_was_compared_with_it() -> None:
    lag = Lag(5.0)
    lag.begin(is_itself=True)
    lag.note(SECOND, SECOND, 10.0, is_judge_there=False)
    assert lag.is_over_limit(10.0)
    lag.note(SECOND, SECOND, 20.0)
    assert not lag.is_over_limit(20.0)
    lag.begin(is_itself=False)
    lag.note(SECOND, SECOND, 30.0, is_judge_there=False)
    assert not lag.is_over_limit(30.0)


def test_who_lacked_something_that_the_judge_had_is_behind_once_that_is_away_until_it_has_it() -> None:
    lag = Lag(5.0)
    lag.note(FIRST, SECOND, 10.0)
    assert not lag.is_over_limit(10.5)
    lag.note(FIRST, FIRST, 11.0, is_judge_there=False)
    assert lag.is_over_limit(11.0)
    lag.note(SECOND, SECOND, 12.0, is_judge_there=False)
    assert not lag.is_over_limit(12.0)


def test_what_a_judge_that_was_restored_has_no_more_nobody_lacks() -> None:
    lag = Lag(5.0)
    lag.note(FIRST, SECOND, 10.0)
    lag.note(FIRST, FIRST, 11.0, is_judge_there=False)
    lag.note(FIRST, FIRST, 12.0)
    assert not lag.is_over_limit(12.0)
