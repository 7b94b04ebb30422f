"""What servers tell each other several times a second, sealed so that nobody else can say it.

    "NMHB" · format version · BLAKE2b of the rest, keyed with the cluster's secret (16 octets) · msgpack of a Heartbeat

A heartbeat is believed if its seal fits, if it is newer than the last one of the same incarnation, and, for an
incarnation not heard before, if it proves to answer us: it names our own incarnation and a sequence number that we sent
a moment ago. So neither a stranger nor a recording can make a dead server look alive.
"""

from __future__ import annotations

import hmac
from hashlib import blake2b

import msgspec

MAGIC = b"NMHB"
VERSION = 1
SEAL_BYTES = 16
SECRET_MIN_BYTES = 16
DATAGRAM_LIMIT_BYTES = 1400
"""So that no network cuts it up: the shortest path that is usual takes 1,500 octets with its headers."""

_HEAD = MAGIC + bytes((VERSION,))


class SwitchPulse(msgspec.Struct, frozen=True, array_like=True):
    """One switch as its supervisor sees it.

    A *silent* one has not answered for half a lease; for one that is *cut off* no put has got through for three leases,
    or for `commit_wait_s` if that is longer.
    """

    number: int
    is_silent: bool
    is_cut_off: bool = False


class QueuePulse(msgspec.Struct, frozen=True, array_like=True):
    """A queue that is run there: by which switch, in which epoch, up to which slot, with how many open messages."""

    name: str
    switch: int
    epoch: int
    slot: int
    messages: int


class Heartbeat(msgspec.Struct, frozen=True, array_like=True):
    """What one server says of itself to one other.

    `echo_incarnation` and `echo_sequence` are the last it heard of that one, empty and 0 where it heard nothing.
    `state` is serving, draining or stopping. `config` is a digest of the cluster's part of the configuration.
    `queues` may be cut short, `queue_count` and `messages` count all of them.
    """

    server: str
    incarnation: str
    sequence: int
    echo_incarnation: str
    echo_sequence: int
    state: str
    config: str
    switches: tuple[SwitchPulse, ...] = ()
    queue_count: int = 0
    messages: int = 0
    queues: tuple[QueuePulse, ...] = ()


class Forged(Exception):
    """A datagram that no server of this cluster sent, or one that was damaged on its way."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Heartbeat).decode


class Seal:
    """Makes and checks datagrams with the cluster's secret, of at least `SECRET_MIN_BYTES`."""

    def __init__(self, secret: bytes) -> None:
        # A key of BLAKE2b has at most 64 octets; a secret may be longer.
        self._key = blake2b(secret, person=b"nightmail-hb").digest()

    def seal(self, heartbeat: Heartbeat) -> bytes:
        """The datagram, never above `DATAGRAM_LIMIT_BYTES`: queues that don't fit are left out, the last first."""
        payload = _encode(heartbeat)
        room = DATAGRAM_LIMIT_BYTES - len(_HEAD) - SEAL_BYTES
        queues = heartbeat.queues
        while len(payload) > room and queues:
            queues = queues[: len(queues) * room // (len(payload) + 1)]
            payload = _encode(msgspec.structs.replace(heartbeat, queues=queues))
        return _HEAD + self._digest(payload) + payload

    def open(self, datagram: bytes) -> Heartbeat:
        """The heartbeat in it. Raises: Forged."""
        payload = datagram[len(_HEAD) + SEAL_BYTES :]
        if not datagram.startswith(_HEAD) or len(datagram) > DATAGRAM_LIMIT_BYTES:
            raise Forged("not a heartbeat of this version")
        if not hmac.compare_digest(datagram[len(_HEAD) : len(_HEAD) + SEAL_BYTES], self._digest(payload)):
            raise Forged("sealed with another secret")
        try:
            return _decode(payload)
        except msgspec.DecodeError as error:
            raise Forged(f"sealed, but no heartbeat: {error}") from error

    def _digest(self, payload: bytes) -> bytes:
        return blake2b(payload, key=self._key, digest_size=SEAL_BYTES).digest()
