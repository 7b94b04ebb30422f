"""Heartbeats: what is sealed is read by those with the secret, and by nobody else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.group.heartbeat import DATAGRAM_LIMIT_BYTES, MAGIC, Forged, Heartbeat, QueuePulse, Seal, SwitchPulse

SECRET = b"0123456789abcdef"
BEAT = Heartbeat(
    server="mx1", incarnation="a1", sequence=7, echo_incarnation="b2", echo_sequence=5, state="serving", config="c0",
    switches=(SwitchPulse(0, False),), queue_count=1, messages=3, queues=(QueuePulse("mx1.0.1", 0, 1, 12, 3),),
)  # fmt: skip


def test_what_is_sealed_is_read_with_the_same_secret() -> None:
    assert Seal(SECRET).open(Seal(SECRET).seal(BEAT)) == BEAT


def test_what_a_newer_release_adds_at_the_end_is_ignored() -> None:
    seal = Seal(SECRET)
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(BEAT))
    payload = msgspec.msgpack.encode([*fields, "something new"])
    head = seal.seal(BEAT)[: len(MAGIC) + 1]
    assert seal.open(head + seal._digest(payload) + payload) == BEAT


def test_another_secret_reads_nothing() -> None:
    with pytest.raises(Forged, match="another secret"):
        Seal(b"fedcba9876543210").open(Seal(SECRET).seal(BEAT))


def test_secrets_that_begin_alike_are_different_secrets() -> None:
    with pytest.raises(Forged):
        Seal(b"x" * 64 + b"1").open(Seal(b"x" * 64 + b"2").seal(BEAT))


@given(st.data())
def test_no_octet_can_be_changed(data: st.DataObject) -> None:
    sealed = bytearray(Seal(SECRET).seal(BEAT))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Forged):
        Seal(SECRET).open(bytes(sealed))


@given(st.binary(max_size=200))
def test_garbage_is_no_heartbeat(garbage: bytes) -> None:
    with pytest.raises(Forged):
        Seal(SECRET).open(garbage)


def test_a_sealed_thing_that_is_no_heartbeat_is_refused() -> None:
    seal = Seal(SECRET)
    payload = msgspec.msgpack.encode(["mx1"])
    with pytest.raises(Forged, match="no heartbeat"):
        seal.open(b"NMHB\x01" + seal._digest(payload) + payload)


@pytest.mark.parametrize("count", [0, 1, 30, 60, 1000, 20_000])
def test_a_datagram_fits_into_a_packet_however_many_queues_there_are(count: int) -> None:
    queues = tuple(QueuePulse(f"server-with-a-long-name-{n}.12.{n}", n, n, 10**9 + n, n) for n in range(count))
    beat = msgspec.structs.replace(BEAT, queues=queues, queue_count=count)
    datagram = Seal(SECRET).seal(beat)
    assert len(datagram) <= DATAGRAM_LIMIT_BYTES
    read = Seal(SECRET).open(datagram)
    assert read.queues == queues[: len(read.queues)]
    assert read.queue_count == count
    assert len(read.queues) >= min(count, 20)
