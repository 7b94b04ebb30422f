from __future__ import annotations

import sys

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nightmail.queue.waiting import TICKS_PER_S, Waiting

NOW = 1_700_000_000.0


class Entry:
    __slots__ = ("name", "wait_until")

    def __init__(self, name: int = 0) -> None:
        self.name = name
        self.wait_until = 0.0


def test_nothing_is_due_before_its_time_and_all_of_it_a_tick_after() -> None:
    waiting: Waiting[Entry] = Waiting()
    entry = Entry()
    waiting.wait(entry, NOW + 5.01)
    assert waiting.due(NOW + 5, 10) == []
    assert waiting.due(NOW + 5.01 + 1 / TICKS_PER_S, 10) == [entry]
    assert waiting.due(NOW + 6, 10) == []


def test_what_is_long_overdue_comes_in_the_order_of_its_time() -> None:
    waiting: Waiting[Entry] = Waiting()
    entries = [Entry(n) for n in range(5)]
    for entry in reversed(entries):
        waiting.wait(entry, NOW - 100 + entry.name)
    assert waiting.due(NOW, 3) == entries[:3]
    assert waiting.due(NOW, 3) == entries[3:]


def test_a_cancelled_entry_never_comes() -> None:
    waiting: Waiting[Entry] = Waiting()
    entry = Entry()
    waiting.wait(entry, NOW)
    waiting.cancel(entry)
    waiting.cancel(entry)
    assert len(waiting) == 0
    assert waiting.due(NOW + 10, 10) == []


def test_an_entry_that_is_put_off_comes_once_at_its_last_time() -> None:
    waiting: Waiting[Entry] = Waiting()
    entry = Entry()
    waiting.wait(entry, NOW)
    waiting.wait(entry, NOW + 60)
    assert len(waiting) == 1
    assert waiting.due(NOW + 59, 10) == []
    assert waiting.due(NOW + 61, 10) == [entry]


def test_hurried_entries_are_all_due_the_earliest_first() -> None:
    waiting: Waiting[Entry] = Waiting()
    entries = [Entry(n) for n in range(100)]
    for entry in entries:
        waiting.wait(entry, NOW + 1000 + entry.name)
    waiting.hurry_all()
    assert waiting.due(NOW, 30) + waiting.due(NOW, 1000) == entries


def many(waiting: Waiting[Entry], count: int) -> list[Entry]:
    """Entries that came all at once and are not sorted in, each due a second after the one before."""
    entries = [Entry(n) for n in range(count)]
    waiting.wait_all(entries, lambda entry: NOW + entry.name)
    return entries


def test_what_comes_all_at_once_is_counted_at_once_and_found_once_it_is_sorted_in() -> None:
    waiting: Waiting[Entry] = Waiting()
    entries = many(waiting, 100)
    assert len(waiting) == 100
    assert waiting.due(NOW + 200, 100) == []
    assert waiting.sort_in(60)
    assert waiting.due(NOW + 200, 100) == entries[:60]
    assert not waiting.sort_in(60)
    assert waiting.due(NOW + 200, 100) == entries[60:]
    assert not waiting.sort_in(60)


def test_what_is_cancelled_hurried_or_put_off_before_it_is_sorted_in_stays_so() -> None:
    waiting: Waiting[Entry] = Waiting()
    cancelled, hurried, put_off = many(waiting, 3)
    waiting.cancel(cancelled)
    waiting.wait(hurried, 0.0)
    waiting.wait(put_off, NOW + 100)
    assert waiting.due(NOW - 100, 10) == [hurried]
    assert not waiting.sort_in(10)
    assert len(waiting) == 1
    assert waiting.due(NOW + 99, 10) == []
    assert waiting.due(NOW + 101, 10) == [put_off]


def test_all_are_hurried_whether_they_are_sorted_in_or_not_and_none_that_comes_later() -> None:
    waiting: Waiting[Entry] = Waiting()
    entries = many(waiting, 100)
    waiting.sort_in(50)
    waiting.hurry_all()
    while waiting.sort_in(7):
        pass
    later = many(waiting, 1)
    waiting.sort_in(7)
    assert {entry.name for entry in waiting.due(NOW - 100, 1000)} == {entry.name for entry in entries}
    assert waiting.due(NOW + 1, 10) == later


def test_putting_off_again_and_again_leaves_no_heap_of_dead_pointers() -> None:
    waiting: Waiting[Entry] = Waiting()
    entries = [Entry(n) for n in range(10)]
    for turn in range(10_000):
        waiting.wait(entries[turn % 10], NOW + turn % 977)
    pointers = sum(map(len, waiting._ticks.values()))
    assert pointers < 1100
    assert len(waiting) == 10


def test_an_entry_costs_few_bytes() -> None:
    waiting: Waiting[Entry] = Waiting()
    entries = [Entry(n) for n in range(100_000)]
    for entry in entries:
        waiting.wait(entry, NOW + entry.name * 0.036)
    lists = waiting._ticks.values()
    size_bytes = sum(map(sys.getsizeof, lists)) + sys.getsizeof(waiting._ticks) + 40 * len(lists)
    assert size_bytes / len(entries) < 60


class WaitingKeepsItsPromises(RuleBasedStateMachine):
    """Against the plainest model: a dict of entries and times."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: Waiting[Entry] = Waiting()
        self.entries = [Entry(n) for n in range(20)]
        self.model: dict[int, float] = {}
        self.hurried: set[int] = set()
        self.now = NOW

    @rule(n=st.integers(0, 19), delay_s=st.floats(-2, 20))
    def wait(self, n: int, delay_s: float) -> None:
        self.waiting.wait(self.entries[n], self.now + delay_s)
        self.model[n] = self.now + delay_s

    @rule(names=st.sets(st.integers(0, 19)), delay_s=st.floats(-2, 20))
    def wait_all(self, names: set[int], delay_s: float) -> None:
        entries = [self.entries[n] for n in sorted(names)]
        self.waiting.wait_all(entries, lambda entry: self.now + delay_s + entry.name)
        self.model |= {entry.name: self.now + delay_s + entry.name for entry in entries}

    @rule(limit=st.integers(1, 10))
    def sort_in(self, limit: int) -> None:
        assert self.waiting.sort_in(limit) == bool(self.waiting._unsorted)

    @rule(n=st.integers(0, 19))
    def cancel(self, n: int) -> None:
        self.waiting.cancel(self.entries[n])
        self.model.pop(n, None)

    @rule(seconds=st.floats(0, 5))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.model)
    @rule()
    def hurry(self) -> None:
        self.waiting.hurry_all()
        self.hurried |= set(self.model)

    @rule(limit=st.integers(1, 30))
    def due(self, limit: int) -> None:
        found = [entry.name for entry in self.waiting.due(self.now, limit)]
        assert len(found) == len(set(found)) <= limit
        for name in found:
            assert name in self.hurried or self.model[name] <= self.now
            del self.model[name]
            self.hurried.discard(name)
        if len(found) < limit:
            overdue = {name for name, until in self.model.items() if until + 1 / TICKS_PER_S < self.now}
            assert overdue <= {entry.name for entry in self.waiting._unsorted}

    @invariant()
    def none_is_lost(self) -> None:
        assert len(self.waiting) == len(self.model)
        assert {entry.name for entry in self.entries if entry.wait_until} == set(self.model)


TestWaitingKeepsItsPromises = WaitingKeepsItsPromises.TestCase
