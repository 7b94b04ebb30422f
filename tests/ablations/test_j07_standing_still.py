"""J7: an `adopted` record is put only after the journal stood still for its last promise, or was yielded."""

from __future__ import annotations

import pytest
from tests.ablations.cluster_stories import is_found

from nightmail.group import decisions
from nightmail.group.view import View, Watched


def test_nobody_adopts_what_may_still_be_delivered_by_its_owner() -> None:
    assert not is_found("hasty", within=3)


def test_without_the_wait_for_the_promise_it_is_adopted_too_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_once(view: View, queue: Watched, required: float) -> bool:
        return True

    monkeypatch.setattr(decisions, "_stood_still", at_once)
    assert is_found("hasty")


def test_without_the_last_promise_counted_from_its_last_slot_it_is_adopted_too_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decisions, "_promise_s", lambda view, queue: 0.1)
    assert is_found("hasty")
