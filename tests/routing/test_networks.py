from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.errors import ConfigInvalid
from nightmail.routing.networks import network_key, network_keys, parse_network, prefix_of


def key(text: str) -> str:
    return network_key(parse_network(text, "clients:1"))


def keys(ip: str, *lengths: int) -> list[str]:
    return list(network_keys(ip, lambda _: lengths))


def test_a_client_is_looked_for_in_the_longest_network_first() -> None:
    assert keys("10.1.2.3", 32, 16, 0) == [key("10.1.2.3"), key("10.1.0.0/16"), key("0.0.0.0/0")]
    assert keys("2001:db8::1", 128, 32) == [key("2001:db8::1"), key("2001:db8::/32")]


def test_a_client_of_a_dual_stack_socket_is_looked_for_as_what_it_is() -> None:
    assert keys("::ffff:10.1.2.3", 16) == [key("10.1.0.0/16")]
    assert keys("fe80::1%eth0", 64) == [key("fe80::/64")]


def test_what_is_no_address_is_in_no_network() -> None:
    assert keys("", 32) == keys("unix", 32) == keys("10.1.2", 32) == []


def test_a_key_knows_its_prefix() -> None:
    assert prefix_of(key("10.1.0.0/16")) == (4, 16)
    assert prefix_of(key("::/0")) == (6, 0)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("300.0.0.0/8", "a network looks like"),
        ("localhost", "a network looks like"),
        ("10.0.0.0/33", "a network looks like"),
        ("", "a network looks like"),
    ],
)
def test_what_is_no_network_is_refused_with_what_would_be_right(text: str, right: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        parse_network(text, "clients:1")
    assert caught.value.wrong == f"{text!r} is not a network"
    assert caught.value.right.startswith(right)


@given(st.ip_addresses(), st.integers(0, 128))
def test_a_client_finds_each_network_that_it_is_in(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int
) -> None:
    length = min(length, ip.max_prefixlen)
    network = ipaddress.ip_network((ip, length), strict=False)
    if not (isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped):
        assert keys(str(ip), length) == [network_key(network)]
