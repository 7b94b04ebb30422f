"""The audit finds what is lost, and tells a second copy that is on record from one that is not."""

from __future__ import annotations

import pytest

from nightmail.cli.demo.ledger import Arrival, Books, Ledger
from nightmail.cli.demo.verdict import Verdict


@pytest.fixture
def books() -> Books:
    books = Books()
    for number in range(1, 5):
        books.note_sent(number, "acknowledged", f"ID{number}")
        arrive(books, number, f"ID{number}")
    return books


def test_what_arrived_is_delivered(books: Books) -> None:
    assert books.audit(frozenset(), frozenset()) == Ledger(
        acknowledged=4,
        delivered=4,
        queued=0,
        lost=0,
        duplicated=0,
        ambiguous=0,
        unanswered=0,
        refused=0,
        contradicted=0,
    )


def test_what_is_acknowledged_and_nowhere_is_lost(books: Books) -> None:
    books.note_sent(5, "acknowledged", "ID5")
    books.note_sent(6, "acknowledged", "ID6")
    ledger = books.audit(frozenset({"ID6"}), frozenset())
    assert (ledger.queued, ledger.lost) == (1, 1)
    assert verdict(ledger).fault == "Messages are not all well: 1 lost."


def test_a_second_copy_needs_a_record(books: Books) -> None:
    arrive(books, 1, "ID1")
    arrive(books, 2, "ID2")
    ledger = books.audit(frozenset(), frozenset({"ID1"}))
    assert (ledger.duplicated, ledger.ambiguous) == (2, 1)
    assert verdict(ledger).fault == "Messages are not all well: 1 delivered twice without a record of it."
    assert verdict(books.audit(frozenset(), frozenset({"ID1", "ID2"}))).is_sound


def test_what_was_never_answered_may_arrive_or_not(books: Books) -> None:
    books.note_sent(5, "unanswered")
    books.note_sent(6, "unanswered")
    arrive(books, 6, "ID6")
    ledger = books.audit(frozenset(), frozenset())
    assert (ledger.unanswered, ledger.delivered, ledger.lost) == (2, 4, 0)
    assert verdict(ledger).is_sound


def test_what_was_refused_and_arrived_is_a_contradiction(books: Books) -> None:
    books.note_sent(5, "refused")
    arrive(books, 5, "ID5")
    assert (
        verdict(books.audit(frozenset(), frozenset())).fault
        == "Messages are not all well: 1 refused and yet delivered."
    )


def test_a_refusal_for_good_is_a_fault(books: Books) -> None:
    assert not verdict(books.audit(frozenset(), frozenset()), refused_for_good=1).is_sound


def test_without_mail_nothing_was_shown() -> None:
    assert not verdict(Books().audit(frozenset(), frozenset())).is_sound


def arrive(books: Books, number: int, queue_id: str) -> None:
    books.note_arrival(Arrival(number, queue_id, "mx1", "mx1", 0.0))


def verdict(ledger: Ledger, *, refused_for_good: int = 0) -> Verdict:
    return Verdict(
        ledger=ledger, lease_s=1.0, takeover_s=1.9, adopted=3, pause_s=0.4, pause_before_s=0.1,
        refused_for_good=refused_for_good, damaged=0,
    )  # fmt: skip
