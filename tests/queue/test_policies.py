"""Policies: settings of [queue] that are said for all servers."""

from __future__ import annotations

import pytest

from nightmail.queue.policies import NAMES, parse_policy, with_policies
from nightmail.queue.settings import QueueSettings


def test_a_policy_counts_in_place_of_what_the_file_says_and_nothing_else_does() -> None:
    settings = QueueSettings(retry_first_s=60, expire_s=1000)
    assert with_policies(settings, {"retry_first_s": 120.0}) == QueueSettings(retry_first_s=120, expire_s=1000)
    assert with_policies(settings, {}) == settings


def test_policies_that_contradict_the_file_are_refused() -> None:
    with pytest.raises(ValueError, match=r"retry_max_s .* is less than retry_first_s"):
        with_policies(QueueSettings(retry_max_s=600), {"retry_first_s": 900.0})


@pytest.mark.parametrize("name", NAMES)
def test_each_has_the_range_of_its_setting(name: str) -> None:
    assert parse_policy(name, "1") == 1
    for wrong in ("-1", "nan", "inf", "many", "" if name.endswith("_s") else "1.5"):
        with pytest.raises(ValueError, match=r"."):
            parse_policy(name, wrong)
