"""xtext: how ORCPT and ENVID carry what an ESMTP parameter can't (RFC 3461 §4), and its UTF-8 form (RFC 6533 §3)."""

from __future__ import annotations

import re

_PLAIN = re.compile(rb"[!-*,-<>-~]")
_HEX = re.compile(rb"\+([0-9A-F]{2})")
_EMBEDDED = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")


def encode(text: str) -> str:
    """`text` as xtext: `+` and two hexadecimal digits for each octet that may not stand for itself."""
    octets = text.encode("utf-8", "replace")
    return "".join(chr(octet) if _PLAIN.match(octets, at) else f"+{octet:02X}" for at, octet in enumerate(octets))


def decode(xtext: str) -> str:
    """What `xtext` stands for; whatever is no proper xtext in it stands for itself."""
    octets = _HEX.sub(lambda match: bytes.fromhex(match[1].decode()), xtext.encode("utf-8", "replace"))
    return octets.decode("utf-8", "replace")


def decode_embedded(text: str) -> str:
    r"""The address that a `utf-8` address type spells with `\x{E4}` for its characters beyond ASCII."""
    return _EMBEDDED.sub(lambda match: _character(int(match[1], 16)) or match[0], text)


def encode_embedded(text: str) -> str:
    r"""`text` in ASCII, with `\x{E4}` for each character beyond it."""
    return _BEYOND_ASCII.sub(lambda match: f"\\x{{{ord(match[0]):X}}}", text)


def _character(code: int) -> str:
    """The character, or nothing where there is none of that number or it is ASCII, which needs no such spelling."""
    return chr(code) if 0x80 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else ""
