from __future__ import annotations

import pytest

from nightmail.mail.envelope import (
    NOTIFY_DELAY,
    NOTIFY_FAILURE,
    NOTIFY_NEVER,
    NOTIFY_SUCCESS,
    Envelope,
    Recipient,
)
from nightmail.mail.fate import Action, Fate
from nightmail.mail.reply import Reply
from nightmail.queue.reports import due, is_wanted, success

FAILED, DELAYED, DELIVERED, RELAYED, EXPANDED = Action


@pytest.mark.parametrize(
    ("notify", "wanted"),
    [
        (0, {FAILED, DELAYED}),
        (NOTIFY_NEVER, set()),
        (NOTIFY_FAILURE, {FAILED}),
        (NOTIFY_DELAY, {DELAYED}),
        (NOTIFY_SUCCESS, {DELIVERED, RELAYED, EXPANDED}),
        (NOTIFY_SUCCESS | NOTIFY_FAILURE, {FAILED, DELIVERED, RELAYED, EXPANDED}),
        (NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY, set(Action)),
    ],
)
def test_who_hears_of_what(notify: int, wanted: set[Action]) -> None:
    assert {action for action in Action if is_wanted(notify, action)} == wanted


def a_fate(address: str, action: Action, notify: int = 0) -> Fate:
    return Fate(Recipient(address, notify=notify), action, Reply(550, "5.1.1", "no"))


def test_one_report_tells_all_that_happened_in_a_segment_to_those_who_asked() -> None:
    bob, carol, dave = (
        a_fate("bob@x", FAILED),
        a_fate("carol@x", FAILED, NOTIFY_NEVER),
        a_fate("dave@x", DELIVERED, NOTIFY_SUCCESS),
    )
    assert due(Envelope("alice@x", ()), [bob, carol, dave]) == [bob, dave]


def test_the_null_sender_is_never_answered() -> None:
    everything = NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY
    assert due(Envelope("", ()), [a_fate("bob@x", action, everything) for action in Action]) == []


@pytest.mark.parametrize(
    ("is_final", "relayed_without_dsn", "action"),
    [(True, False, DELIVERED), (True, True, DELIVERED), (False, True, RELAYED), (False, False, None)],
)
def test_a_success_is_reported_by_the_last_who_can(
    is_final: bool, relayed_without_dsn: bool, action: Action | None
) -> None:
    assert success(is_final=is_final, relayed_without_dsn=relayed_without_dsn) is action
