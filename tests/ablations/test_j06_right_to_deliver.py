"""J6: the final dot is sent only while the promise of the last known segment lasts, counted from its first attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from sim.checkers import NOTHING, Findings
from sim.loop import run
from tests.ablations.cluster_stories import a_switch_freezes_amid_a_delivery, the_store_goes_amid_a_delivery

from nightmail.journal.writer import Journal

Story = Callable[[], Awaitable[Findings]]
each_story = pytest.mark.parametrize(
    "story", [the_store_goes_amid_a_delivery, a_switch_freezes_amid_a_delivery], ids=lambda story: story.__name__
)


@each_story
def test_who_has_no_right_any_more_breaks_off_before_the_dot(story: Story) -> None:
    assert run(story()) == NOTHING


@each_story
def test_without_the_look_at_the_clock_the_dot_comes_too_late(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "may_deliver", lambda self: not (self.is_fenced or self._stopping))
    assert run(story()).stale == {"M1"}
