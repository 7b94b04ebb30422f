"""Networks of clients: keys under which they are kept, and the keys to try for one client, the longest prefix first."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator

from nightmail.errors import ConfigInvalid

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_BITS = {4: 32, 6: 128}


def parse_network(text: str, place: str) -> Network:
    """The network that `text` gives; a single address is the network of itself.

    Raises:
        ConfigInvalid: it gives none, or has bits below its prefix.
    """
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigInvalid(place, f"{text!r} is not a network", _mended(text)) from error


def _mended(text: str) -> str:
    try:
        return f"did you mean {ipaddress.ip_network(text, strict=False)}?"
    except ValueError:
        return "a network looks like 192.0.2.0/24, 2001:db8::/32 or 192.0.2.1"


def network_key(network: Network) -> str:
    """The key under which a network is kept."""
    return _key(network.version, int(network.network_address), network.prefixlen)


def prefix_of(key: str) -> tuple[int, int]:
    """The IP version and the prefix length of the network that a key stands for."""
    version, length, _ = key.split("/")
    return int(version), int(length)


def network_keys(ip: str, prefix_lengths: Callable[[int], tuple[int, ...]]) -> Iterator[str]:
    """The keys of the networks that a client may be in, the longest prefix first; none for what is no IP address."""
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return
    # An IPv4 client of a dual-stack socket is the IPv4 client (RFC 4291 §2.5.5.2).
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    for length in prefix_lengths(address.version):
        yield _key(address.version, int(address), length)


def _key(version: int, number: int, length: int) -> str:
    return f"{version}/{length}/{number >> (_BITS[version] - length):x}"
