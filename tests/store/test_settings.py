from __future__ import annotations

import msgspec
import pytest

from nightmail.errors import ConfigInvalid
from nightmail.store.settings import StoreSettings


def test_a_url_is_all_that_has_to_be_said() -> None:
    settings = msgspec.convert({"url": "file:///srv/nightmail"}, StoreSettings)
    assert (settings.lease_s, settings.idle_tick_s, settings.commit_wait_s, settings.answer_timeout_s) == (3, 10, 5, 60)


def test_an_idle_tick_shorter_than_the_lease_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match=r"idle_tick_s: 2 is less than lease_s \(3\); .* at least lease_s"):
        StoreSettings(url="file:///s", idle_tick_s=2)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"url": ""},
        {"url": "file:///s", "lease_s": 0},
        {"url": "file:///s", "margin_fraction": 0.9},
        {"url": "file:///s", "leases": 1},
    ],
)
def test_what_is_out_of_bounds_or_unknown_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, StoreSettings)


def test_who_waits_behind_a_put_is_told_no_later_than_who_waits_in_it() -> None:
    with pytest.raises(ConfigInvalid, match=r"commit_wait_s: 30 is more than answer_timeout_s \(10\)"):
        StoreSettings(url="file:///s", commit_wait_s=30, answer_timeout_s=10)
