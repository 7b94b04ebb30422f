"""From outcomes to the record of them: the rules, one by one."""

from __future__ import annotations

import pytest
from tests.queue.chance import Chance

from nightmail.delivery.job import Outcome, OutcomeKind
from nightmail.journal.records import AMBIGUOUS, DEFERRED, DELIVERED, FAILED, WITHDRAWN, Settlement
from nightmail.mail.reply import Reply
from nightmail.queue.backoff import Backoff
from nightmail.queue.settings import QueueSettings
from nightmail.switch.settling import Settling, settle, withdraw

OK = Reply(250, "2.0.0", "taken")
BUSY = Reply(450, "4.2.1", "busy")
NOBODY = Reply(550, "5.1.1", "no such user")
SETTINGS = QueueSettings(retry_first_s=100, retry_max_s=1000, expire_s=5000, bounce_expire_s=2000)
REPLIES: dict[OutcomeKind, Reply] = {"delivered": OK, "deferred": BUSY, "failed": NOBODY, "ambiguous": BUSY}


def settled(
    *kinds: OutcomeKind, now: float = 1000.0, attempts: int = 1, is_report: bool = False, holds: bool = False
) -> Settling:
    return settle(
        "M1", [Outcome(index, kind, REPLIES[kind]) for index, kind in enumerate(kinds)],
        attempts=attempts, arrival=1000.0, now=now, backoff=Backoff(SETTINGS, Chance(0.5)), is_report=is_report,
        holds_ambiguous=holds,
    )  # fmt: skip


def test_one_delivered_recipient_is_all_there_is_to_say() -> None:
    assert settled("delivered").record.results == (Settlement(0, DELIVERED),)


def test_every_recipient_gets_its_own_result_and_a_reply_where_it_was_no_success() -> None:
    settling = settled("delivered", "failed", "deferred", "ambiguous")
    assert settling.record.results == (
        Settlement(0, DELIVERED), Settlement(1, FAILED, NOBODY), Settlement(2, DEFERRED, BUSY),
        Settlement(3, AMBIGUOUS, BUSY),
    )  # fmt: skip
    assert [outcome.kind for outcome in settling.outcomes] == ["delivered", "failed", "deferred", "ambiguous"]


@pytest.mark.parametrize(("attempts", "pause_s"), [(1, 100), (2, 200), (3, 400), (5, 1000), (90, 1000)])
def test_what_was_put_off_is_due_again_later_and_later(attempts: int, pause_s: float) -> None:
    record = settled("deferred", attempts=attempts).record
    assert record.next_attempt == pytest.approx(1000.0 + pause_s)
    assert record.attempts == attempts


def test_nothing_is_due_again_where_all_is_done() -> None:
    assert settled("delivered", "failed").record.next_attempt == 0.0


def test_what_expired_has_failed_with_its_last_reply_as_the_reason() -> None:
    settling = settled("deferred", "delivered", "ambiguous", now=6001.0)
    assert [result.outcome for result in settling.record.results] == [FAILED, DELIVERED, FAILED]
    assert [outcome.kind for outcome in settling.outcomes] == ["failed", "delivered", "failed"]
    assert settling.outcomes[0].reply.enhanced == "4.4.7"
    assert "450 4.2.1 busy" in settling.outcomes[0].reply.text
    assert settling.outcomes[0].reply.code == 450


def test_a_report_expires_sooner() -> None:
    assert settled("deferred", now=3001.0).record.results[0].outcome == DEFERRED
    assert settled("deferred", now=3001.0, is_report=True).record.results[0].outcome == FAILED


@pytest.mark.parametrize(
    ("holds", "kind", "held"), [(True, "ambiguous", True), (True, "deferred", False), (False, "ambiguous", False)]
)
def test_only_what_is_ambiguous_is_held_and_only_where_the_route_says_so(
    kind: OutcomeKind, *, holds: bool, held: bool
) -> None:
    assert settled(kind, "delivered", holds=holds).record.hold is held


def test_what_expired_is_not_held() -> None:
    assert not settled("ambiguous", now=6001.0, holds=True).record.hold


def test_a_claim_taken_back_says_nothing_about_the_remote() -> None:
    record = withdraw("M1", (0, 2), 50.0)
    assert record.results == (Settlement(0, WITHDRAWN), Settlement(2, WITHDRAWN))
    assert (record.next_attempt, record.attempts) == (51.0, 0)
