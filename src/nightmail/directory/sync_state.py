"""The control that comes with every entry of a feed (RFC 4533 §2.2), read without an ASN.1 library.

A feed brings one for each entry that changes, a hundred thousand of them when a directory is filled, and every switch
reads them between its sessions: a general decoder takes twenty times as long for these few octets.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

PRESENT, ADD, MODIFY, DELETE = range(4)

_SEQUENCE, _ENUMERATED, _OCTETS = 0x30, 0x0A, 0x04
_LONG = 0x80


class SyncState(NamedTuple):
    """What became of an entry, its id, and where the feed is, or nothing."""

    state: int
    uuid: str
    cookie: str


def read_sync_state(value: bytes) -> SyncState:
    """The control's value: SEQUENCE { state ENUMERATED, entryUUID OCTET STRING, cookie OCTET STRING OPTIONAL }.

    Raises:
        ValueError: it is none.
    """
    try:
        inside, end = _take(value, 0, _SEQUENCE)
        state, at = _take(inside, 0, _ENUMERATED)
        uuid, at = _take(inside, at, _OCTETS)
        cookie, at = _take(inside, at, _OCTETS) if at < len(inside) else (b"", at)
    except IndexError as error:
        raise ValueError("a control ends too soon") from error
    if end != len(value) or at != len(inside) or len(state) != 1 or state[0] > DELETE:
        raise ValueError("this is no sync state")
    return SyncState(state[0], str(UUID(bytes=uuid)), cookie.decode())


def _take(data: bytes, at: int, tag: int) -> tuple[bytes, int]:
    """The content of the element at `at`, and where the next one begins (X.690 §8.1)."""
    if data[at] != tag:
        raise ValueError(f"a control has a {data[at]:#x} where a {tag:#x} belongs")
    length, at = data[at + 1], at + 2
    if length & _LONG:
        size = length & ~_LONG
        length, at = int.from_bytes(data[at : at + size], "big"), at + size
    if at + length > len(data):
        raise ValueError("a control ends too soon")
    return data[at : at + length], at + length
