"""What a journal's records add up to: the same whether it was watched live or replayed from the floor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.journal.rig import HELLO, accepted, adopted, ids, indexes, replies, segment, times

from nightmail.journal.records import (
    AMBIGUOUS,
    DEFERRED,
    DELIVERED,
    FAILED,
    WITHDRAWN,
    Accepted,
    Claimed,
    Closed,
    Edited,
    Held,
    Moved,
    Progress,
    Record,
    Resumed,
    Settled,
    Settlement,
    Tick,
    Voided,
    Yielded,
)
from nightmail.journal.segment import Header, Placed
from nightmail.journal.state import QueueState, every
from nightmail.mail.reply import Reply

BUSY = Reply(450, "4.2.1", "busy")


def after(*segments: Sequence[Record]) -> QueueState:
    """The state after these segments, slot by slot."""
    state = QueueState()
    for slot, records in enumerate(segments):
        state.apply(*segment(records, slot))
    return state


def settled(message_id: str, *outcomes: int, next_attempt: float = 0.0, attempts: int = 1) -> Settled:
    results = tuple(Settlement(index, outcome, BUSY) for index, outcome in enumerate(outcomes))
    return Settled(message_id, results, next_attempt, attempts)


class Move(NamedTuple):
    """Carry a message forward, as it stands then."""

    id: str


changes = st.one_of(
    st.builds(accepted, ids, recipients=st.integers(1, 4), claimed=indexes, drop=st.sampled_from(["", "file"])),
    st.builds(Claimed, ids, indexes),
    st.builds(
        Settled, ids, st.lists(st.builds(Settlement, st.integers(0, 3), st.integers(1, 5), replies)).map(tuple),
        times, st.integers(0, 9), st.booleans(), st.booleans(),
    ),
    st.builds(Voided, ids),
    st.builds(Held, ids),
    st.builds(Resumed, ids, times),
    st.builds(Edited, ids, indexes, st.booleans()),
    st.just(Tick()),
    st.just(adopted()),
)  # fmt: skip
histories = st.lists(st.tuples(st.lists(st.builds(Move, ids), max_size=2), st.lists(changes, max_size=3)), max_size=25)
History = list[tuple[list[Move], list[Record]]]


class Living:
    """A live queue, written as the writer does: the floor before a segment, what is moved first in it."""

    def __init__(self, history: History) -> None:
        self.state = QueueState()
        self.log: list[tuple[Header, list[Placed]]] = []
        self.envelopes: dict[str, Accepted] = {}
        self.used: set[str] = set()
        for slot, (moves, records) in enumerate(history):
            self._write(slot, [*self._moved(moves), *self._possible(records)] or [Tick()])

    def _moved(self, moves: list[Move]) -> list[Record]:
        messages = self.state.messages
        return [
            Moved(
                id, self.envelopes[id].envelope, self.envelopes[id].body, messages[id].arrival, messages[id].progress()
            )
            for id in dict.fromkeys(move.id for move in moves)
            if id in messages
        ]

    def _possible(self, records: list[Record]) -> list[Record]:
        """An id is used once, and claims name recipients that there are."""
        found: list[Record] = []
        for record in records:
            if isinstance(record, Accepted):
                if record.id in self.used:
                    continue
                self.used.add(record.id)
                self.envelopes[record.id] = record
            found.append(record)
        return found

    def _write(self, slot: int, records: list[Record]) -> None:
        header, placed = segment(records, slot, floor=self.state.floor(slot))
        self.state.apply(header, placed)
        self.state.cut(header.floor)
        self.log.append((header, placed))


def replayed(log: list[tuple[Header, list[Placed]]], floor: int) -> QueueState:
    state = QueueState()
    for header, placed in log:
        if header.slot >= floor:
            state.apply(header, placed)
    return state


def picture(state: QueueState) -> object:
    """Everything of a state that matters."""
    messages = [
        (m.id, m.slot, m.offset, m.size, m.arrival, m.body_bytes, m.aside, m.progress()) for m in state.oldest()
    ]
    return messages, state.slots, state.live_in, state.log_bytes, state.live_bytes, state.is_yielded, state.is_closed


@given(histories)
def test_a_replay_from_the_floor_finds_what_the_live_queue_knows(history: History) -> None:
    living = Living(history)
    for length in range(1, len(history) + 1):
        prefix = Living(history[:length])
        floor = prefix.log[-1][0].floor
        assert picture(replayed(prefix.log, floor)) == picture(prefix.state)
    if history:
        assert picture(replayed(living.log, 0))[0] == picture(living.state)[0]  # type: ignore[index]


@given(histories)
def test_the_books_are_kept(history: History) -> None:
    state = Living(history).state
    messages = list(state.oldest())
    assert state.live_bytes == sum(m.size + (0 if m.aside else m.body_bytes) for m in messages)
    assert state.live_in == {m.slot: sum(n.slot == m.slot for n in messages) for m in messages}
    assert [m.slot for m in messages] == sorted(m.slot for m in messages)
    assert state.floor(len(history)) == min([m.slot for m in messages], default=len(history))
    assert all(m.pending for m in messages)


def test_an_accepted_message_waits_for_all_its_recipients() -> None:
    message = after([accepted("M1", recipients=3, claimed=(0, 2))]).messages["M1"]
    assert (message.pending, message.claimed, message.attempts) == ((0, 1, 2), (0, 2), 0)
    assert message.body_bytes == len(HELLO)


def test_a_message_ends_with_its_last_recipient() -> None:
    state = after([accepted("M1", recipients=2, claimed=(0, 1))], [settled("M1", DELIVERED, DEFERRED)])
    assert state.messages["M1"].pending == (1,)
    assert state.messages["M1"].claimed == ()
    state.apply(*segment([Settled("M1", (Settlement(1, FAILED),))], 2))
    assert not state.messages
    assert state.live_bytes == 0
    assert state.floor(3) == 3


@pytest.mark.parametrize(
    ("outcome", "pending", "ambiguous", "reply"),
    [
        (DELIVERED, (1,), False, None),
        (FAILED, (1,), False, None),
        (DEFERRED, (0, 1), False, BUSY),
        (AMBIGUOUS, (0, 1), True, BUSY),
        (WITHDRAWN, (0, 1), False, None),
    ],
)
def test_every_outcome_ends_the_claim(
    outcome: int, pending: tuple[int, ...], reply: Reply | None, *, ambiguous: bool
) -> None:
    message = after([accepted("M1", recipients=2, claimed=(0,))], [settled("M1", outcome)]).messages["M1"]
    assert (message.claimed, message.pending, message.ambiguous) == ((), pending, ambiguous)
    assert message.reply == reply


def test_the_latest_time_and_the_highest_count_stand() -> None:
    state = after(
        [accepted("M1", recipients=3)],
        [settled("M1", DEFERRED, next_attempt=500.0, attempts=2)],
        [Settled("M1", (Settlement(1, WITHDRAWN),), 400.0)],
    )
    message = state.messages["M1"]
    assert (message.next_attempt, message.attempts) == (500.0, 2)


def test_marks_once_set_stay_set() -> None:
    state = after(
        [accepted("M1", recipients=2)],
        [Settled("M1", (Settlement(0, AMBIGUOUS),), delay_reported=True, hold=True)],
        [Settled("M1", (Settlement(0, DEFERRED),))],
    )
    message = state.messages["M1"]
    assert message.ambiguous
    assert message.delay_reported
    assert message.held
    state.apply(*segment([Resumed("M1", 7.0)], 3))
    assert not message.held
    assert message.next_attempt == 7.0


def test_a_claim_says_that_the_drop_file_is_gone() -> None:
    state = after([accepted("M1", drop="file")])
    assert state.messages["M1"].drop
    state.apply(*segment([Claimed("M1", (0,))], 1))
    assert not state.messages["M1"].drop


def test_what_is_carried_forward_keeps_all_of_its_progress() -> None:
    progress = Progress((1,), (1,), 4, 99.0, True, True, True, BUSY, True)
    brought = accepted("M1", recipients=2)
    state = after([brought], [Moved("M1", brought.envelope, brought.body, 1.0, progress)])
    message = state.messages["M1"]
    assert message.progress() == progress
    assert message.slot == 1
    assert state.floor(2) == 1


def test_an_object_that_is_moved_stays_the_same_to_those_who_hold_it() -> None:
    brought = accepted("M1", recipients=2)
    state = after([brought])
    held = state.messages["M1"]
    state.apply(*segment([Moved("M1", brought.envelope, brought.body, 1.0, held.progress())], 1))
    assert state.messages["M1"] is held


def test_voided_and_deleted_messages_are_gone_and_unknown_ones_no_trouble() -> None:
    state = after(
        [accepted("M1"), accepted("M2"), accepted("M3", recipients=2)],
        [Voided("M1"), Edited("M2", (0,), deleted=True), Edited("M3", (1,), deleted=False)],
        [Claimed("M1", (0,)), Held("M2"), Resumed("M2"), Edited("M1", (0,), deleted=True), settled("M1", DELIVERED)],
    )
    assert list(state.messages) == ["M3"]
    assert state.messages["M3"].pending == (0,)


def test_a_doubt_makes_open_messages_ambiguous_and_later_ones_not() -> None:
    state = after([accepted("M1", recipients=3)])
    state.doubt_everything()
    state.apply(*segment([accepted("M2")], 2))
    assert state.messages["M1"].claimed == (0, 1, 2)
    assert state.messages["M2"].claimed == ()


def test_a_yield_holds_until_the_next_segment_and_a_close_for_ever() -> None:
    state = after([adopted()], [Yielded()])
    assert state.is_yielded
    state.apply(*segment([adopted(2, "mx2")], 2, epoch=2))
    assert not state.is_yielded
    assert state.owner is not None
    assert (state.epoch, state.owner.owner) == (2, "mx2")
    state.apply(*segment([Closed()], 3, epoch=2))
    assert state.is_closed


def test_cutting_forgets_what_lies_below_the_floor_and_gives_back_what_may_be_deleted() -> None:
    state = after([adopted()], [accepted("M1")], [Tick()], [Voided("M1")], [accepted("M2")])
    assert state.floor(5) == 4
    before = state.log_bytes
    assert state.cut(4) == [1, 2, 3]
    assert list(state.slots) == [4]
    assert state.log_bytes == state.slots[4].size_bytes < before
    assert state.cut(4) == []


def test_a_body_of_its_own_takes_no_room_in_the_log() -> None:
    inside, beside = after([accepted("M1")]), after([accepted("M1", key="queues/mx1.0.1/body/M1")])
    assert beside.messages["M1"].aside
    assert inside.live_bytes - inside.messages["M1"].size == len(HELLO)
    assert beside.live_bytes == beside.messages["M1"].size


def test_the_same_reply_is_kept_once() -> None:
    state = after(*[[accepted(f"M{n}")] for n in range(3)])
    for n in range(3):
        reply = Reply(450, "4.2.1", "mailbox " + "busy")
        state.apply(*segment([Settled(f"M{n}", (Settlement(0, DEFERRED, reply),))], 3 + n))
    assert len({id(message.reply) for message in state.messages.values()}) == 1


def test_all_recipients_are_counted_from_zero() -> None:
    assert every(0) == ()
    assert every(3) == (0, 1, 2)
    assert every(3) is every(3)
    assert every(100) == tuple(range(100))
