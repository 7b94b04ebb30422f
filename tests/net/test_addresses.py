from __future__ import annotations

import pytest

from nightmail.net.addresses import HostPort, parse_host_port


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("127.0.0.1:2525", HostPort("127.0.0.1", 2525)),
        ("[::1]:25", HostPort("::1", 25)),
        ("mx.example.net:0", HostPort("mx.example.net", 0)),
        ("[mx.example.net]:26", HostPort("mx.example.net", 26)),
    ],
)
def test_host_and_port_are_told_apart(text: str, parsed: HostPort) -> None:
    assert parse_host_port(text) == parsed


@pytest.mark.parametrize("text", ["192.0.2.1", "[::1]", "::1", "mx.example.net"])
def test_the_default_port_fills_in(text: str) -> None:
    assert parse_host_port(text, 53).port == 53


@pytest.mark.parametrize("text", ["", ":25", "host", "host:", "[::1", "[::1]25", "a:b:c", "host:x", "host:65536"])
def test_anything_else_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|is not \[host\]:port"):
        parse_host_port(text)


@pytest.mark.parametrize("text", ["192.0.2.1:25", "[2001:db8::1]:25"])
def test_a_host_and_port_are_written_as_they_were_read(text: str) -> None:
    assert str(parse_host_port(text)) == text
