from __future__ import annotations

import pytest

from nightmail.smtp.sequence import REFUSALS, State

TRANSACTION = ("MAIL", "RCPT", "DATA", "BDAT")


@pytest.mark.parametrize(
    ("state", "allowed"),
    [
        (State.FRESH, set()),
        (State.IDLE, {"MAIL"}),
        (State.SENDER, {"RCPT"}),
        (State.RECIPIENTS, {"RCPT", "DATA", "BDAT"}),
        (State.CHUNKS, {"BDAT"}),
        (State.FAILED, set()),
    ],
)
def test_a_state_allows_only_what_leads_on(state: State, allowed: set[str]) -> None:
    assert {command for command in TRANSACTION if command not in REFUSALS[state]} == allowed


def test_what_is_allowed_between_messages_is_refused_in_no_state() -> None:
    assert len(REFUSALS) == len(State)
    for refusals in REFUSALS:
        assert set(refusals) <= set(TRANSACTION)
        assert all(reply.code == 503 for reply in refusals.values())
