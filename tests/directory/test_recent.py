"""What changed while an answer was on its way is known for long enough, in a bounded space."""

from __future__ import annotations

from nightmail.directory.recent import RecentChanges


def test_only_what_changed_after_the_moment_counts() -> None:
    recent = RecentChanges()
    recent.note(["a"])
    moment = recent.moment
    recent.note(["b", "c"])
    assert recent.is_any_since(moment, ["x", "c"])
    assert not recent.is_any_since(moment, ["a"])
    assert recent.is_any_since(0, ["a"])
    assert not recent.is_any_since(recent.moment, ["a", "b", "c"])


def test_what_is_too_much_to_remember_counts_as_everything_for_those_who_asked_before() -> None:
    recent = RecentChanges(kept=3)
    for mark in "abcd":
        recent.note([mark])
    assert recent.is_any_since(0, ["x"])
    assert not recent.is_any_since(recent.moment, ["a"])
    recent.note_everything()
    assert recent.is_any_since(recent.moment - 1, [])
