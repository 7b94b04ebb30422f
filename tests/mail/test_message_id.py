from __future__ import annotations

from tests.mail.chance import FixedChance, FixedClock

from nightmail.mail.message_id import MessageIds
from nightmail.world import SystemClock, SystemRandomness


def test_an_id_is_short_and_plain() -> None:
    identifier = MessageIds(SystemClock(), SystemRandomness()).next()
    assert len(identifier) == 16
    assert set(identifier) <= set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def test_ids_are_ordered_by_time_between_processes() -> None:
    clock = FixedClock()
    late_tag, early_tag = MessageIds(clock, FixedChance(b"\xff" * 8)), MessageIds(clock, FixedChance(b"\x00" * 8))
    first = late_tag.next()
    clock.now += 0.001
    assert first < early_tag.next()


def test_ids_rise_also_within_a_microsecond_and_when_the_clock_is_set_back() -> None:
    clock = FixedClock()
    ids = MessageIds(clock, FixedChance(b"\x07" * 8))
    made = [ids.next() for _ in range(1000)]
    clock.now -= 3600
    made += [ids.next() for _ in range(1000)]
    assert made == sorted(set(made))


def test_processes_that_ask_in_the_same_microsecond_get_different_ids() -> None:
    clock = FixedClock()
    assert MessageIds(clock, FixedChance(b"\x01" * 8)).next() != MessageIds(clock, FixedChance(b"\x02" * 8)).next()
