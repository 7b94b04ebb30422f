r"""The PROXY protocol, by which a balancer tells whose connection it passes on (HAProxy, proxy-protocol.txt 2020/03).

Both versions are read: the line of version 1, and the binary header of version 2. A header says who the client is, or
that there is none: the balancer speaks for itself, as its health checks do. What follows the header is the client's.
"""

from __future__ import annotations

import ipaddress
import struct

import msgspec

from nightmail.errors import ProtocolViolation

LINE_LIMIT_BYTES = 107
"""The longest line of version 1, its end included."""
HEADER_LIMIT_BYTES = 4096
"""The longest header of version 2 that is read: addresses, and TLVs that nobody here asks for."""

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED = struct.Struct(">12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21


class Proxied(msgspec.Struct, frozen=True):
    """What a header says: the client's address, empty where the balancer speaks for itself."""

    address: str = ""
    port: int = 0


class ProxyReader:
    """Takes the beginning of a connection in any pieces; `rest` is what came after the header."""

    def __init__(self) -> None:
        self.rest = b""
        self._data = b""

    def feed(self, data: bytes) -> Proxied | None:
        """The header, once it is complete. Raises: ProtocolViolation: it is none."""
        self._data += data
        if self._data[: len(_SIGNATURE)] == _SIGNATURE[: len(self._data)]:
            return self._version_2()
        if self._data[:6] == b"PROXY "[: len(self._data)]:
            return self._version_1()
        raise ProtocolViolation("the connection does not begin with a PROXY header")

    def _version_1(self) -> Proxied | None:
        end = self._data.find(b"\r\n", 0, LINE_LIMIT_BYTES)
        if end < 0:
            if len(self._data) >= LINE_LIMIT_BYTES:
                raise ProtocolViolation("a PROXY line without end")
            return None
        words = self._data[:end].decode("ascii", "replace").split(" ")
        self.rest = self._data[end + 2 :]
        if words[1:2] == ["UNKNOWN"]:
            return Proxied()
        if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
            raise ProtocolViolation(f"a PROXY line that is none: {words!r}")
        return Proxied(_address(words[2], 4 if words[1] == "TCP4" else 6), _port(words[4]))

    def _version_2(self) -> Proxied | None:
        if len(self._data) < _FIXED.size:
            return None
        _, command, family, size = _FIXED.unpack_from(self._data)
        end = _FIXED.size + size
        if end > HEADER_LIMIT_BYTES:
            raise ProtocolViolation(f"a PROXY header of {end} octets")
        if len(self._data) < end:
            return None
        self.rest = self._data[end:]
        if command == _LOCAL:
            return Proxied()
        if command != _PROXY:
            raise ProtocolViolation(f"PROXY version and command {command:#04x} are unknown")
        return self._addresses(family, self._data[_FIXED.size : end])

    @staticmethod
    def _addresses(family: int, block: bytes) -> Proxied:
        size = 4 if family == _TCP4 else 16
        if family not in (_TCP4, _TCP6) or len(block) < 2 * size + 4:
            # Another kind of connection: the specification has it taken as what it is, that of the balancer.
            return Proxied()
        return Proxied(str(ipaddress.ip_address(block[:size])), int.from_bytes(block[2 * size : 2 * size + 2], "big"))


def _address(text: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise ProtocolViolation(f"a PROXY line with {text!r} for an address") from error
    if address.version != version:
        raise ProtocolViolation(f"a PROXY line with {text!r} for an address of IPv{version}")
    return str(address)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise ProtocolViolation(f"a PROXY line with {text!r} for a port")
    return int(text)
