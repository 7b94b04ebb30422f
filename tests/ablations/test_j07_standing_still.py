"""J7: an `adopted` record is put only after the journal stood still for its last promise, or was yielded."""

from __future__ import annotations

import pytest

from nightmail.group import decisions
from nightmail.group.view import View, Watched
from sim import chance


def adopted_too_soon(seeds: range) -> int:
    """In how many stories a queue was adopted while its owner's promise still ran."""
    return sum(bool(chance.tell(seed)[0].hasty) for seed in seeds)


def test_nobody_adopts_what_may_still_be_delivered_by_its_owner() -> None:
    assert not adopted_too_soon(range(8))


def test_without_the_wait_for_the_promise_it_is_adopted_too_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_once(view: View, queue: Watched, required: float) -> bool:
        return True

    monkeypatch.setattr(decisions, "_stood_still", at_once)
    assert adopted_too_soon(range(8))


def test_without_the_last_promise_counted_from_its_last_slot_it_is_adopted_too_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decisions, "_promise_s", lambda view, queue: 0.1)
    assert adopted_too_soon(range(8))
