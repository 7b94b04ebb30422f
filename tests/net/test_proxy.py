"""PROXY headers: read in any pieces, believed only whole, and nothing of the client's is swallowed."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.errors import ProtocolViolation
from nightmail.net.proxy import HEADER_LIMIT_BYTES, Proxied, ProxyReader

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = b"\xc0\x00\x02\x01\xc0\x00\x02\x19" + struct.pack(">HH", 4711, 25)
V6 = bytes(15) + b"\x01" + bytes(15) + b"\x02" + struct.pack(">HH", 4711, 25)


def version_2(block: bytes, *, command: int = 0x21, family: int = 0x11) -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, family, len(block)) + block


HEADERS = {
    b"PROXY TCP4 192.0.2.1 192.0.2.25 4711 25\r\n": Proxied("192.0.2.1", 4711),
    b"PROXY TCP6 2001:db8::1 2001:db8::25 4711 25\r\n": Proxied("2001:db8::1", 4711),
    b"PROXY UNKNOWN\r\n": Proxied(),
    b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n": Proxied(),
    version_2(V4): Proxied("192.0.2.1", 4711),
    version_2(V6, family=0x21): Proxied("::1", 4711),
    version_2(V4 + b"\x03\x00\x04\x00\x00\x00\x00"): Proxied("192.0.2.1", 4711),
    version_2(b"", command=0x20, family=0): Proxied(),
    version_2(V4, command=0x20): Proxied(),
    version_2(bytes(216), family=0x31): Proxied(),
    version_2(b"short"): Proxied(),
}
WRONG = [
    b"EHLO client.example.net\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.25 4711\r\n",
    b"PROXY TCP4 2001:db8::1 2001:db8::25 4711 25\r\n",
    b"PROXY TCP4 192.0.2.300 192.0.2.25 4711 25\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.25 99999 25\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.25 x 25\r\n",
    b"PROXY UDP4 192.0.2.1 192.0.2.25 4711 25\r\n",
    b"PROXY " + b"x" * 200,
    b"PROXY\r\n",
    SIGNATURE + b"\x31\x11\x00\x00",
    SIGNATURE + b"\x21\x11" + struct.pack(">H", HEADER_LIMIT_BYTES),
    b"\r\n\r\n\0\r\nNOOP\n",
]


@given(st.sampled_from(sorted(HEADERS)), st.binary(max_size=60), st.data())
def test_a_header_is_read_in_any_pieces_and_the_rest_is_the_clients(
    header: bytes, rest: bytes, data: st.DataObject
) -> None:
    reader, stream, found = ProxyReader(), header + rest, None
    position = 0
    while found is None:
        size = data.draw(st.integers(1, 40))
        found = reader.feed(stream[position : position + size])
        position += size
    assert found == HEADERS[header]
    assert reader.rest + stream[position:] == rest


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_header_is_refused(wrong: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        ProxyReader().feed(wrong)


@given(st.binary(min_size=1, max_size=300))
def test_garbage_is_refused_or_waited_for_but_never_more_than_a_header(garbage: bytes) -> None:
    reader = ProxyReader()
    try:
        found = reader.feed(garbage)
    except ProtocolViolation:
        return
    assert found is not None or len(garbage) < HEADER_LIMIT_BYTES
