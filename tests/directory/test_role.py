"""Who may take the master's role, what a returning replica is, and who has to have a write."""

from __future__ import annotations

import msgspec
import pytest

from nightmail.directory.role import (
    DRIFT,
    NOBODY,
    Follow,
    Reseed,
    Role,
    Shadow,
    Sighting,
    epoch_in,
    is_at_rest,
    is_taken_with,
    may_take,
    part_of,
    renewed,
    successor,
    wait_s,
)
from nightmail.journal.records import Adopted

PROMISE_S = 3.0
ENOUGH_S = PROMISE_S * (1 + DRIFT)


def adopted(server: str, epoch: int) -> Adopted:
    return Adopted(epoch, server, f"life of {server}", "", "", "")


def role(**changed: object) -> Role:
    given = {"adopted": adopted("mx1", 7), "in_sync": ("mx1", "mx2"), "promise_s": PROMISE_S, "nonce": "n"} | changed
    return Role(**given)  # type: ignore[arg-type]  # tests give what fits


def may(of: Role, server: str, stood_s: float, *, held: str = "7 life of mx1", is_dead: bool = False) -> bool:
    return may_take(Sighting(3, of, 100.0, 100.0 + stood_s), server, held, is_proven_dead=is_dead)


def test_who_is_in_sync_takes_it_once_the_log_stood_still_for_the_promise() -> None:
    assert not may(role(), "mx2", ENOUGH_S - 0.01)
    assert may(role(), "mx2", ENOUGH_S)


def test_who_is_not_in_sync_or_holds_another_epoch_never_takes_it() -> None:
    assert not may(role(in_sync=("mx1",), joining=("mx2",)), "mx2", 1e6, is_dead=True)
    assert not may(role(is_yielded=True, in_sync=("mx1",)), "mx2", 1e6)
    for held in ("", "6 life of mx1", "8 life of mx1", "7 another life"):
        assert not may(role(), "mx2", 1e6, held=held, is_dead=True)


def test_nobody_takes_it_by_himself_where_the_last_slot_cannot_be_read_and_an_operator_waits_for_it() -> None:
    unread = Sighting(3, role(), 100.0, 1e6, unread=1, fault="why")
    assert not may_take(unread, "mx2", "7 life of mx1", is_proven_dead=True)
    for of, lease_s in ((NOBODY, PROMISE_S), (role(in_sync=("mx1",), is_yielded=True), PROMISE_S)):
        stood = Sighting(3, of, 100.0, 100.0 + ENOUGH_S - 0.01, unread=1, fault="why")
        assert not is_at_rest(stood, lease_s)
        assert is_at_rest(msgspec.structs.replace(stood, looked_at=100.0 + ENOUGH_S), lease_s)


def test_those_in_sync_come_one_after_another() -> None:
    of = role(in_sync=("mx1", "mx3", "mx2"))
    assert [wait_s(of, name) for name in ("mx2", "mx3")] == pytest.approx([ENOUGH_S, 2 * ENOUGH_S])
    yielded = role(in_sync=of.in_sync, is_yielded=True, to="mx3")
    assert [wait_s(yielded, name) for name in ("mx3", "mx2")] == pytest.approx([0, ENOUGH_S])


def test_a_master_that_is_proven_dead_is_not_waited_for() -> None:
    assert may(role(), "mx2", 0.0, is_dead=True)
    assert may(role(), "mx1", 0.0, is_dead=True), "the server itself, started again"
    assert not may(role(), "mx1", 0.0)


def test_what_returns_follows_where_nothing_was_lost_and_begins_anew_elsewhere() -> None:
    held, follow, reseed = "7 life of mx1", Follow("mx1", 7, "7 life of mx1"), Reseed("mx1", 7, "7 life of mx1")
    assert part_of(role(), held) == follow
    assert part_of(role(after="6 old", continues=True), "6 old") == follow
    assert part_of(role(after="6 old"), "6 old") == reseed
    assert part_of(role(after="6 old", continues=True), "6 another") == reseed
    assert part_of(role(after="", continues=True), "") == reseed
    assert part_of(role(), "7 of a store that was lost") == reseed


def test_a_master_that_ended_before_it_could_note_its_epoch_has_it_all_the_same() -> None:
    assert is_taken_with(role(after="6 old"), "mx1", "6 old")
    assert not is_taken_with(role(after="6 old"), "mx2", "6 old")
    assert not is_taken_with(role(after="6 old"), "mx1", "5 older")
    assert not is_taken_with(role(after=""), "mx1", "")


def test_the_number_of_an_epoch_is_in_its_note() -> None:
    assert [epoch_in(held) for held in ("7 life", "", "damaged")] == [7, 0, 0]


def test_the_next_master_is_in_sync_alone_and_goes_on_where_it_has_everything() -> None:
    def after(before: Role | None, server: str) -> Role:
        return successor(before, adopted(server, 8), "7 life of mx1", promise_s=PROMISE_S, nonce="m")

    assert after(role(), "mx2").in_sync == ("mx2",)
    assert after(role(), "mx2").begins
    assert not after(role(), "mx2").continues, "the old master may have what nobody acknowledged"
    assert after(role(is_yielded=True, alike=("mx2",)), "mx2").continues
    assert not after(role(is_yielded=True, alike=("mx3",)), "mx2").continues
    assert after(role(), "mx1").continues, "its own entries, which all others have theirs from"
    assert not after(None, "mx1").continues


def test_a_shadow_joins_is_compared_and_then_in_sync_and_left_out_when_it_is_not_well() -> None:
    def next_after(before: Role, shadow: Shadow, now: float = 10.0) -> tuple[tuple[str, ...], tuple[str, ...]]:
        then = renewed(before, {"mx2": shadow}, now, 3.0, "m")
        return then.in_sync, then.joining

    alone, joining, both = role(in_sync=("mx1",)), role(in_sync=("mx1",), joining=("mx2",)), role()
    well = Shadow(well_at=9.0)
    compared = Shadow(well_at=9.0, joined=4, has_everything=True)
    assert next_after(alone, well) == (("mx1",), ("mx2",))
    assert next_after(alone, compared) == (("mx1",), ("mx2",)), "a comparison counts from when it was joining"
    assert next_after(joining, well) == (("mx1",), ("mx2",))
    assert next_after(joining, compared) == (("mx1", "mx2"), ())
    assert next_after(both, well) == (("mx1", "mx2"), ())
    assert next_after(both, compared, now=12.5) == (("mx1",), ())
    assert next_after(joining, compared, now=12.5) == (("mx1",), ())


def test_a_write_has_to_be_on_those_in_sync_and_on_those_joining() -> None:
    assert role(in_sync=("mx1", "mx2"), joining=("mx3",)).needed == ("mx1", "mx2", "mx3")
