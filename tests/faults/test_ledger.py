"""The audit, tested by itself: each kind of wrong is found in a book where it was put."""

from __future__ import annotations

import pytest
from tests.e2e.sink import Received, Sink
from tests.e2e.waiting import until
from tests.faults.ledger import Ledger, audit, in_all
from tests.faults.load import Fate, Load, Sent

END = b"dog; the switch must not lose him on the way.\r\n"


def sent(fate: Fate = Fate.ACKNOWLEDGED) -> Sent:
    return Sent("m1", ("m1@sink.test",), fate, "250 2.0.0 Ok: queued as Q1", 0.0)


def copy(data: bytes = END) -> Received:
    head = b"Received: from load\r\n\tby mx1 with ESMTP id Q1;\r\nX-Audit-Id: m1\r\n\r\n"
    return Received("Q1", "load@example.net", ("m1@sink.test",), head + data, 0.0, answered=True, session=1)


def ledger(entry: Sent, received: list[Received], queued_ids: frozenset[str] = frozenset(), log: str = "") -> Ledger:
    return audit("test", book=[entry], received=received, mailbox=[], queued_ids=set(queued_ids), log=log)


def test_a_message_that_arrived_once_is_sound() -> None:
    ledger(sent(), [copy()]).assert_sound()


def test_an_acknowledged_message_that_neither_arrived_nor_waits_is_lost() -> None:
    assert ledger(sent(), []).lost == [("m1", "m1@sink.test")]
    assert ledger(sent(), [], frozenset({"Q1"})).queued == 1


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.UNSENT])
def test_a_message_that_arrived_though_it_was_refused_is_found(fate: Fate) -> None:
    with pytest.raises(AssertionError, match="refused yet delivered"):
        ledger(sent(fate), [copy()]).assert_sound()


def test_a_second_copy_needs_an_ambiguous_record() -> None:
    assert ledger(sent(), [copy(), copy()]).unexplained == [("m1", "m1@sink.test")]
    explained = ledger(sent(), [copy(), copy()], log="event=attempt id=Q1 status=ambiguous")
    assert (explained.duplicates, explained.unexplained) == ([("m1", "m1@sink.test")], [])


def test_a_torn_message_is_found() -> None:
    with pytest.raises(AssertionError, match="damaged"):
        ledger(sent(), [copy(END[:-10])]).assert_sound()


def test_a_campaign_is_added_up() -> None:
    ledgers = [ledger(sent(), []), ledger(sent(), [copy(), copy()])]
    for each in ledgers:
        each.kills = 3
    assert in_all(ledgers) == ("In all: kills 6, acknowledged 2, lost 1, duplicated 1 (not recorded as ambiguous: 1)")


def test_the_load_and_the_sink_agree_when_nothing_lies_between_them() -> None:
    with Sink() as sink, Load(sink.port, seed=1, sessions=4, limit=60) as load:
        until(lambda: len(load.book) == 60, "60 messages in the book")
        load.finish()
        direct = audit("direct", book=load.book, received=sink.received, mailbox=[], queued_ids=set(), log="")
    assert load.count(Fate.ACKNOWLEDGED) == 60
    direct.assert_sound()
    assert direct.delivered == direct.acknowledged
