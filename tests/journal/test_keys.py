"""Names of queues and keys: read back exactly, and anything else is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.journal.keys import QueueName, body_key, body_prefix, log_prefix, queue_of, slot_key, slot_of

names = st.builds(
    QueueName, st.from_regex(r"[A-Za-z0-9-]{1,20}", fullmatch=True), st.integers(0, 999), st.integers(0, 1 << 40)
)


@given(names, st.integers(0, (1 << 64) - 1))
def test_a_name_and_a_slot_are_read_back(name: QueueName, slot: int) -> None:
    assert QueueName.parse(str(name)) == name
    key = slot_key(str(name), slot)
    assert (queue_of(key), slot_of(key)) == (str(name), slot)
    assert key.startswith(log_prefix(str(name)))


@given(st.integers(0, 10**20 - 1), st.integers(0, 10**20 - 1))
def test_keys_sort_as_slots_do(one: int, other: int) -> None:
    assert (slot_key("q", one) < slot_key("q", other)) == (one < other)


@pytest.mark.parametrize("text", ["", "mx1", "mx1.0", "mx1.0.1.2", "mx1.0.x", "m_x.0.1", "mx1.0.1\n", ".0.1", "mx1..1"])
def test_what_is_no_name_is_none(text: str) -> None:
    assert QueueName.parse(text) is None


@pytest.mark.parametrize("key", ["queues/q/log/1", "queues/q/log/", "queues/q/log/0000000000000000000x"])
def test_what_is_no_slot_is_none(key: str) -> None:
    assert slot_of(key) is None


def test_a_body_lies_beside_its_log() -> None:
    assert body_key("mx1.0.1", "M1") == body_prefix("mx1.0.1") + "M1"
    assert queue_of(body_key("mx1.0.1", "M1")) == "mx1.0.1"
    assert slot_of(body_key("mx1.0.1", "M1")) is None
